"""Tables of distances from the oracle, against numbers worked out by hand."""

from __future__ import annotations

from ungrok.report.tables.oracle import oracle_gaps, ranking


def test_the_oracle_gap_stands_beside_its_noise_floor(study, plain):
    (table,) = oracle_gaps(study())
    oracle, _, early, late = map(plain, table.rows)
    # |0.2 − 0.26|, |1 − 0.97| and |0.8 − 0.8| over three, from the one seed that has a second oracle.
    assert oracle[:3] + oracle[6:7] == ["oracle", "before grokking", "–", "0.030/n = 1"]
    assert early[2:7] == ["8 of 8", "0.000/± 0.000", "0.900/± 0.000", "0.800/± 0.000", "0.067/± 0.000"]
    assert late[:2] == ["gradient ascent", "after grokking"]


def test_methods_are_ranked_by_their_gap_where_rewinding_leads(study, plain):
    """At dose 50, the rewound place, finetune has reached 0.2/3 and gradient_ascent still stands at 0.8/3, as at the start."""
    view = study(
        lambda cell: 10.0 if cell.method == "finetune" else 80.0,
        unlearn=[{"kind": "gradient_ascent"}, {"kind": "finetune"}],
    )
    (table,) = ranking(view)
    assert [text for text, _ in table.groups] == ["", "before grokking", "after grokking"]
    first, second, nothing = map(plain, table.rows)
    assert first[:6] == ["fine-tuning", "1", "0.067/± 0.000", "0.000/± 0.000", "1", "0.067/± 0.000"]
    assert second[:6] == ["gradient ascent", "2", "0.267/± 0.000", "1.000/± 0.000", "1", "0.067/± 0.000"]
    assert nothing[:6] == ["none", "2", "0.267/± 0.000", "1.000/± 0.000", "3", "0.267/± 0.000"]
    assert first[6:] == first[1:6]


def test_one_method_is_not_ranked(study):
    assert list(ranking(study())) == []


def test_seeds_that_diverged_are_counted_in_the_oracle_gap(study, plain):
    (table,) = oracle_gaps(study(lambda cell: None, options={"diverges": True}))
    assert plain(table.rows[2])[2:4] == ["0 of 8", "–"]
