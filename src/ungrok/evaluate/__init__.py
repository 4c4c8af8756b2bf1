"""Metrics: functions of scores."""
