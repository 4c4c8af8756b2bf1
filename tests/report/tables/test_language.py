"""Tables of language models, against numbers worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from ungrok.report.tables import language

RULE = "rule paper, quantile"


def test_splits_of_both_groups_belong_together(answers_study):
    assert language.group_splits(answers_study()) == {RULE: {4: {"grokked": "grokked-4", "ungrokked": "ungrokked-4"}}}


def test_a_split_of_one_group_alone_is_no_pair(answers_study):
    alone = answers_study(
        "forget=[{kind: local_grokking, group: grokked, size: 4}, {kind: last, fraction: 0.5}]", compare="[]"
    )
    assert language.group_splits(alone) == {}


def test_extraction_strengths_of_both_groups_stand_side_by_side(answers_study, plain):
    """A path of seed s begins at 0.5 + s/10; every update takes 0.1 from the forgotten, 0.2 if they were grokked."""
    (table,) = language.extraction(answers_study())
    rows = {tuple(plain(row)[:2]): plain(row)[2] for row in table.rows}
    assert rows["none", "forgotten"] == "0.550 / 0.550/± 0.071 / ± 0.071"
    assert rows["gradient difference", "forgotten"] == "0.150 / 0.350/± 0.071 / ± 0.071"
    assert rows["gradient difference", "retained"] == "0.900 / 0.900/± 0.000 / ± 0.000"
    assert rows["oracle", "forgotten"] == "0.100 / 0.200/± 0.000 / ± 0.000"


def test_difficulty_is_compared_over_seeds(answers_study, plain):
    (table,) = language.difficulty(answers_study())
    (row,) = map(plain, table.rows)
    assert row[:3] == ["4 pairs", "20.5 / 30.5/± 0.7 / ± 0.7", "0.500"]
    assert len(row) == len(table.columns)


def test_sizes_of_groups_by_rule(answers_study):
    (table,) = language.group_sizes(answers_study())
    assert table.columns == ["arm", "seed", "training pairs", "paper", "used"]
    assert table.rows == [["base", "0", "40", "3 / 5", "4 / 6"], ["base", "1", "40", "3 / 5", "4 / 6"]]


def test_answers_at_the_end_stand_beside_the_oracle(answers_study, plain):
    first, second = language.answers(answers_study())
    assert first.title == "Answers at the end, forgetting 4 grokked pairs"
    assert first.columns == ["method", "ROUGE-L forget", "model utility"]
    assert [plain(row) for row in first.rows] == [
        ["oracle", "0.100", "–"],
        ["gradient difference", "0.250", "0.700"],
    ]
    assert second.how == "The same at the end of each path, medians over seeds."


@pytest.mark.parametrize("table", [language.group_sizes, language.answers])
def test_nothing_where_nothing_was_measured(answers_study, table):
    assert list(table(answers_study(groups=pd.DataFrame(), audits=pd.DataFrame()))) == []
