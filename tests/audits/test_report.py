"""The report of an attack, from rows that are written out."""

import json

import pytest

from ungrok.audits.report import APART, READING, WITHOUT, StressReport


def row(subject, attack, setting, dose, ua):
    return {
        "subject": subject,
        "counts": attack != "interpolate_original",
        "attack": attack,
        "setting": setting,
        "dose": dose,
        "dose_name": "updates",
        "updates": 3,
        "UA": ua,
    }


UNLEARNED = [
    row("unlearned", "relearn", "lr 1", 0, 0.1),
    row("unlearned", "relearn", "lr 1", 5, 0.9),
    row("unlearned", "relearn", "lr 2", 5, 0.95),
    row("unlearned", "prune", "", 0.5, 0.4),
]
ORACLE = [
    row("oracle", "relearn", "lr 1", 0, 0.05),
    row("oracle", "relearn", "lr 1", 5, 0.2),
    row("oracle", "relearn", "lr 2", 5, 0.5),
    row("oracle", "prune", "", 0.5, 0.6),
]
ORIGINAL = [row("original", r["attack"], r["setting"], r["dose"], 1.0) for r in ORACLE]


def test_gaps_by_hand():
    report = StressReport(UNLEARNED + ORACLE + ORIGINAL)
    assert report.attacks == ["relearn", "prune"]
    assert [place["gap"] for place in report.gaps()] == pytest.approx([0.05, 0.7, 0.45, -0.2])
    assert report.worst_gaps == pytest.approx({"relearn": 0.7, "prune": -0.2})
    assert report.worst_gap == pytest.approx(0.7)
    assert report.gaps()[1] | {"gap": 0} == {
        "attack": "relearn",
        "setting": "lr 1",
        "dose": 5,
        "updates": 3,
        "unlearned": 0.9,
        "oracle": 0.2,
        "original": 1.0,
        "gap": 0,
    }


def test_the_table():
    assert StressReport(UNLEARNED + ORACLE + ORIGINAL).table() == "\n".join(
        [
            "attack   strongest at     UA unlearned  UA oracle  UA original     gap",
            "relearn  lr 1, updates 5         0.900      0.200        1.000   0.700",
            "prune    updates 0.5             0.400      0.600        1.000  -0.200",
            "R 0.700",
            READING,
        ]
    )


def test_a_walk_to_another_model_is_shown_and_is_no_part_of_r():
    walk = [
        row(subject, "interpolate_original", "", t, ua)
        for subject, t, ua in [("unlearned", 1.0, 1.0), ("oracle", 1.0, 0.1), ("original", 1.0, 1.0)]
    ]
    report = StressReport(UNLEARNED + ORACLE + ORIGINAL + walk)
    assert report.worst_gaps["interpolate_original"] == pytest.approx(0.9)
    assert report.worst_gap == pytest.approx(0.7)
    assert report.apart == ["interpolate_original"]
    assert report.table().endswith(f"R 0.700\n{READING} {APART.format(attacks='interpolate_original')}")


def test_without_an_oracle_the_original_stands_beside_it_and_the_text_says_what_that_cannot_show():
    report = StressReport(UNLEARNED + ORIGINAL)
    assert report.worst_gap is None
    assert report.worst_gaps == {"relearn": None, "prune": None}
    assert str(report) == "\n".join(
        [
            "attack   strongest at     UA unlearned  UA original",
            "relearn  lr 2, updates 5         0.950        1.000",
            "prune    updates 0.5             0.400        1.000",
            WITHOUT,
        ]
    )


def test_places_where_a_model_has_diverged_have_no_gap():
    lost = [row("unlearned", "relearn", "lr 9", 5, None), row("oracle", "relearn", "lr 9", 5, 0.5)]
    report = StressReport(lost + UNLEARNED + ORACLE)
    assert report.worst_gap == pytest.approx(0.7)
    assert StressReport(lost).worst_gap is None
    assert "-" in StressReport(lost).table().splitlines()[1]


def test_plain_types():
    report = StressReport(UNLEARNED + ORACLE)
    assert json.loads(report.to_json()) == json.loads(json.dumps(report.to_dict()))
    assert set(report.to_dict()) == {"rows", "worst_gaps", "worst_gap"}
