"""The figure of requests in sequence: what each panel shows of hand-made rows."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from tests.report.tables.test_sequences import ROWS, rows

from ungrok.report.figures.sequences import PANELS, sequences
from ungrok.study.results import SEQUENCES


@pytest.fixture
def axes(study, style):
    view = study(requests=2)
    early = rows("gradient_ascent", "unlearned", 0, [0.5, 0.4], [[0.2], [0.1, 0.2]], 3, "pre_grok")
    table = pd.DataFrame([*ROWS, *early], columns=SEQUENCES)
    (picture,) = sequences(replace(view, results=replace(view.results, sequences=table)), "base", "class")
    assert (picture.name, picture.title) == ("sequences-class", "Requests in sequence, forgetting one class")
    assert len(picture.figure.axes) == 2 * len(PANELS)
    assert [text.get_text() for text in picture.figure.legends[0].get_texts()] == ["gradient ascent", "oracle"]
    return picture.figure.axes


def test_a_stage_has_a_row_and_a_method_its_medians_and_ranges(axes):
    assert [panel.get_title(loc="left") for panel in axes[:4]] == list(PANELS)
    assert [axes[0].get_ylabel(), axes[4].get_ylabel()] == ["before grokking", "after grokking"]
    drawn = [panel.lines[1].get_ydata() for panel in axes[4:]]
    assert [list(values) for values in drawn] == [
        pytest.approx(values) for values in ([0.1, 0.05], [0.4], [0.9, 0.75], [0.8, 0.65])
    ]
    assert list(axes[5].lines[1].get_xdata()) == [2]
    (bars,) = (each for each in axes[6].collections if hasattr(each, "get_segments"))
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[0.9, 0.9], [0.7, 0.8]]


def test_the_oracle_stands_beside_in_every_panel_where_there_is_one(axes):
    assert [list(panel.lines[0].get_ydata()) for panel in axes[4:]] == [
        pytest.approx(values) for values in ([0, 0], [0.01], [0.9, 0.92], [0.8, 0.82])
    ]
    assert {panel.lines[0].get_linestyle() for panel in axes[4:]} == {"--"}
    assert [len(panel.lines[0].get_ydata()) for panel in axes[:4]] == [0, 0, 0, 0]


def test_one_request_has_no_figure(study, style):
    assert list(sequences(study(), "base", "class")) == []
