"""The report: tables, figures and one page that opens offline."""

from ungrok.report.page import write_report

__all__ = ["write_report"]
