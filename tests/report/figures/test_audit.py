"""The figure of an audit shows each AUC where it is."""

from __future__ import annotations

import pytest

from ungrok.report.figures.audit import audit_pictures
from ungrok.study.names import Names


def test_points_intervals_and_nulls_lie_where_the_file_says(audited):
    recipe, content = audited
    (picture,) = audit_pictures(content, Names(recipe))
    (axes,) = picture.figure.axes
    drawn = [tuple(map(float, line.get_xdata())) for line in axes.lines]
    for row in content["rows"]:
        assert (pytest.approx(row["value"]),) in drawn
        assert tuple(map(pytest.approx, row["interval"])) in drawn
        assert tuple(map(pytest.approx, row["null"]["interval"])) in drawn
    truths = [truth["value"] for told in content["planted"] for truth in told["truths"] if truth["name"] == "identity"]
    assert len(truths) == 2
    assert all((pytest.approx(value),) in drawn for value in truths)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["nothing unlearned", "NegGrad+"]
    assert (0.5, 0.5) in drawn


def test_no_audit_no_figure(audited):
    assert list(audit_pictures({}, Names(audited[0]))) == []
