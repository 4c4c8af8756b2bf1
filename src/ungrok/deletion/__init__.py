"""Deleting examples from a model, with a record of what was asked, done and measured."""
