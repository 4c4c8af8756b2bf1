"""Tables of studies beside the paper."""

from __future__ import annotations

import pytest

from ungrok.report.evidence_numbers import FiledEnd, FiledNumber
from ungrok.report.paper_words import PARTS
from ungrok.report.tables.paper import accuracies, along, beside_paper, command, rests

NBSP = "\N{NO-BREAK SPACE}"


def end(stage, method, *, arm="base", names=("TA", "RA", "UA"), n=8, **means):
    values = {name: FiledNumber(mean=means.get(name, 0.5), sd=0.02, n=n, of=8) for name in names}
    return FiledEnd(arm=arm, stage=stage, forget="class", method=method, values=values)


def row_of(table, *keys):
    (row,) = [row for row in table.rows if list(row[: len(keys)]) == list(keys)]
    return row


def test_every_part_has_a_row_with_a_word_and_a_command(evidence, filed):
    table = beside_paper(
        [evidence("digits", filed()), evidence("cifar10-small", filed(verdict="supported", effect=1.0))]
    )
    assert [row[0] for row in table.rows] == [
        "Table 1", "Table 2", "Table 3", "Table 4", "Table 5", "Table 8", "Table 9", "Table 10", "Table 11", "Table 12", "Figure 1", "Figure 2",
    ]  # fmt: skip
    first = row_of(table, "Table 1")
    assert first[1] == PARTS["table1"].says
    assert first[2:4] == ["agrees (cifar10-small)", "contradicts (digits)"]
    assert first[4] == (
        "`ungrok study cifar10-small --out runs/cifar10-small`, `ungrok compare runs/cifar10-small --with paper:table1`"
    )
    assert row_of(table, "Table 10")[2:4] == ["open: nothing run", "open: nothing run"]


def test_of_what_did_not_run_a_recipe_that_is_smaller_than_the_papers_is_named():
    assert "`ungrok study cifar10-resnet --out" in command("table1", [])
    assert command("table10", []) == (
        "`ungrok study svhn-resnet --out runs/svhn-resnet`, `ungrok compare runs/svhn-resnet --with paper:table10`"
    )


def test_rows_with_a_word_are_named_with_their_intervals(evidence, filed):
    open_row = filed(
        claim="collateral", reading="", unit="accuracy", effect=0.02, ci_low=-0.1, ci_high=None, verdict="inconclusive"
    )
    text = row_of(rests([evidence("digits", filed(), open_row)]), "Table 1", "digits")
    assert text[2:4] == ["other data: MLP on 400 examples of 8x8 digits, 6,000 updates, 3 seeds", "contradicts"]
    assert text[4] == (
        f"updates at the same rate: 1 of 1 contradicts (gradient ascent ×{NBSP}0.18 [0.15,{NBSP}0.22]); damage beyond the oracle: 1 open (2.0 points [−10.0,{NBSP}∞])"
    )


def test_of_many_rows_the_range_is_given(evidence, filed):
    """Effects of × 1/2, 1/4, 1/8 and 1/16, whose median is the root of 1/32, with intervals of a factor 2 either way; one has no lower bound."""
    log2 = 0.6931471805599453
    kinds = {f"m{place}": "gradient_ascent" for place in range(1, 5)} | {"class": "class"}
    rows = [
        filed(
            method=f"m{place}",
            effect=-place * log2,
            ci_low=None if place == 4 else -(place + 1) * log2,
            ci_high=-(place - 1) * log2,
        )
        for place in range(1, 5)
    ]
    (row,) = [row for row in rests([evidence("digits", *rows, kinds=kinds)]).rows if row[0] == "Figure 2"]
    assert row[4] == (
        f"updates at the same rate: 4 of 4 contradict (median ×{NBSP}0.18, ×{NBSP}0.062 to ×{NBSP}0.5, intervals within [×{NBSP}0,{NBSP}×{NBSP}1])"
    )


def test_measures_stand_with_their_null(evidence, measured):
    one = evidence(
        "digits-mechanism",
        measures=[
            measured(),
            measured("local_complexity", on="test", null_left=None, null_right=None, verdict="inconclusive"),
        ],
    )
    table = rests([one])
    assert row_of(table, "Table 3", "digits-mechanism")[4] == (
        f"gradient cosine: 1 of 1 agrees (on forget|retain 0.9 → 0.5, null 0.95 → 0.9, fall 0.4 [0.3,{NBSP}0.5])"
    )
    assert row_of(table, "Table 4", "digits-mechanism")[3:] == [
        "open: every row is inconclusive",
        f"local complexity: 1 open (0.9 → 0.5, fall 0.4 [0.3,{NBSP}0.5])",
    ]


def test_along_the_training_ua_stands_against_ra(evidence):
    steps = [end("step-10", "gradient_ascent", UA=None, RA=None), end("step-20", "gradient_ascent", UA=0.7, RA=0.6),
             end("step-30", "gradient_ascent", UA=0.2, RA=0.9), end("grokked", "gradient_ascent", UA=0.0)]  # fmt: skip
    assert along(evidence("digits", ends=steps)) == (
        "UA − RA after gradient ascent along the training, 8 seeds, percentage points: 10.0 at step 20, −70.0 at step 30; all diverged at 1 other checkpoint"
    )
    assert along(evidence("digits")) == ""


def test_accuracies_stand_in_the_order_of_the_paper(evidence):
    ends = [
        end("pre_grok", "original", UA=1.0),
        end("pre_grok", "gradient_ascent", n=7),
        end("grokked", "original", TA=0.9),
    ]
    (table,) = accuracies(
        evidence("digits", ends=ends, names={"pre_grok": "before grokking", "gradient_ascent": "gradient ascent"})
    )
    assert table.columns == ["method", "before grokking", "grokked"]
    assert table.rows == [
        ["before unlearning", "50.0 / 50.0 / 100.0 (± 2.0)", "90.0 / 50.0 / 50.0 (± 2.0)"],
        ["gradient ascent", "50.0 / 50.0 / 50.0 (± 2.0), 7 of 8 seeds", "–"],
    ]


def test_language_models_stand_with_extraction_strengths(evidence):
    ends = [end("final", "npo", names=("TA", "RA", "UA", "ES_forget", "ES_retain"), ES_forget=0.3, ES_retain=0.6)]
    (table,) = accuracies(evidence("tofu-tiny", ends=ends))
    assert table.rows == [["npo", "60.0 / 30.0 (± 2.0)"]]
    assert table.how.startswith("ES_retain / ES_forget in percent")


@pytest.mark.parametrize("table", PARTS)
def test_every_part_has_a_command_that_names_it(table):
    assert command(table, []).endswith(f"--with paper:{table}`")
