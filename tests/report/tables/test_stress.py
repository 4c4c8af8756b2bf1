"""Tables of attacks after unlearning, against numbers worked out by hand; see ``attacked_ua`` for who knows what."""

from __future__ import annotations

from dataclasses import replace

from ungrok.report.attacks import Attacks
from ungrok.report.tables.stress import barriers, costs, relearning, stress_tables, worst_gaps


def test_the_matrix_holds_words_r_and_floors(attacked_study, plain):
    (table,) = worst_gaps(Attacks(attacked_study(["relearn", "linear_probe", "interpolate_original"])))
    assert table.columns == ["method", "stage", "R, all attacks", "relearning", "linear probe"]
    hidden = [f"hidden/{gap:.2f} [{gap:.2f}, {gap:.2f}]/floor 0.05 [0.05, 0.05]" for gap in (0.6, 0.8)]
    forgotten = "forgotten/0.00 [0.00, 0.00]/floor 0.05 [0.05, 0.05]"
    assert [plain(row) for row in table.rows] == [
        ["gradient ascent", "before grokking", hidden[0], hidden[0], forgotten],
        ["gradient ascent", "after grokking", hidden[1], hidden[1], forgotten],
    ]
    assert [cell.tone for cell in table.rows[0][2:]] == ["hidden", "hidden", "forgotten"]
    assert "read at UA ≤ 0.1" in table.how


def test_one_attack_alone_is_r(attacked_study):
    (table,) = worst_gaps(Attacks(attacked_study(["relearn"])))
    assert table.columns == ["method", "stage", "relearning"]


def test_few_seeds_and_no_floor_leave_it_undecided(attacked_study, plain):
    (few,) = worst_gaps(Attacks(attacked_study(["prune"], seeds=[0, 1, 2])))
    assert plain(few.rows[0])[2] == "undecided/0.20 [−∞, ∞]/floor 0.05 [−∞, ∞]"
    (bare,) = worst_gaps(Attacks(attacked_study(["prune"], floor=False)))
    assert plain(bare.rows[0])[2] == "undecided/0.20 [0.20, 0.20]/no floor"


def test_without_an_oracle_there_is_no_gap_and_it_is_said(attacked_study, plain):
    attacks = Attacks(attacked_study(["relearn", "prune"], oracle=False))
    (table,) = worst_gaps(attacks)
    assert [plain(row)[2:] for row in table.rows] == [["no oracle"] * 3] * 2
    (times,) = relearning(attacks)
    assert plain(times.rows[0]) == [
        "gradient ascent", "before grokking", "one class", "7.22/[6.7, 7.75]", "0 of 8", "0 of 8", *["no oracle"] * 3,
    ]  # fmt: skip


def test_updates_to_relearn_half_stand_beside_the_oracles(attacked_study, plain):
    """Half of the original's is 0.45, which lies on the way from 0.01 times the seed at 1 update to 0.6 or 0.8 more at 10; oracles never get there."""
    (table,) = relearning(Attacks(attacked_study(["relearn", "prune"])))
    beside = ["> 100/", "8 of 8", "0 of 8"]
    assert [plain(row)[3:] for row in table.rows] == [
        ["7.22/[6.7, 7.75]", "0 of 8", "0 of 8", *beside],
        ["5.67/[5.27, 6.06]", "0 of 8", "0 of 8", *beside],
    ]
    assert list(relearning(Attacks(attacked_study(["prune"])))) == []


def test_barriers_are_means_over_seeds(attacked_study, plain):
    (table,) = barriers(Attacks(attacked_study(["interpolate_original"])))
    assert plain(table.rows[1]) == ["gradient ascent", "after grokking", "one class", *["4.000/± 2.449"] * 2]
    assert list(barriers(Attacks(attacked_study(["prune"])))) == []


def test_an_attack_costs_updates_in_every_setting(attacked_study, plain):
    """There are eight seeds with two stages, each with a model at one place, an original and an oracle, one seed with a second oracle."""
    view = attacked_study(["relearn", "prune"])
    table = costs(Attacks(view))
    models = {attack: sum(one.attack == attack for one in view.plan.stress) for attack in ("relearn", "prune")}
    assert [plain(row) for row in table.rows] == [
        ["relearning", "2", "8", "100", "200", "1 [1, 1]", str(models["relearn"])],
        ["pruning", "1", "2", "none", "none", "1 [1, 1]", str(models["prune"])],
    ]
    assert models["relearn"] == 8 * 2 * 3 + 2


def test_every_table_of_a_study_and_none_where_nothing_was_attacked(attacked_study, study):
    view = attacked_study()
    assert [table.title for table in stress_tables(Attacks(view))] == [
        "Worst gap to the oracle under attack, forgetting one class", "Updates to relearn half",
        "Barriers of the loss on straight ways to other models", "Cost of each attack",
    ]  # fmt: skip
    assert list(stress_tables(Attacks(study()))) == []
    untimed = replace(view.results, timings=view.results.timings.assign(seconds=None))
    assert costs(Attacks(replace(view, results=untimed))).rows[0][5] == "–"
