"""The table of what a report was made with."""

from __future__ import annotations

from ungrok.report.tables import provenance


def test_provenance_is_flattened():
    made = {
        "versions": {"torch": "2.13"},
        "sizes": {"base": {"class": {"0": [[3, 117]]}}},
        "gpu": None,
        "threads_per_job": 1,
    }
    assert provenance.provenance(made).rows == [["versions torch", "2.13"], ["gpu", "–"], ["threads per job", "1"]]
