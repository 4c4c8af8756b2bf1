"""The first screen in words."""

from __future__ import annotations

from dataclasses import replace

from ungrok.report.front import CALIBRATE, first_screen, looks, words
from ungrok.study.outputs import filed_answers


def test_answers_name_methods_as_people_do(study):
    screen = first_screen(study())
    assert screen.first == []
    (efficiency,) = [answer for answer in screen.answers if answer.claim.kind == "efficiency"]
    assert efficiency.word == "refuted"
    assert efficiency.sentence.startswith(
        "After grokking, gradient ascent needs 2.51 times more updates at the same rate ["
    )
    assert "8 seeds" in efficiency.sentence
    assert screen.last == [CALIBRATE]


def test_what_did_not_happen_comes_first(study):
    alone = first_screen(study(seeds=[3]))
    assert alone.first == ["One seed cannot decide anything."]
    nothing = first_screen(study(options={"absent": lambda cell: cell.stage == "grokked"}))
    assert nothing.first[0] == "Nothing transitioned in 8 of 8 seeds."
    assert nothing.first[1] == "No seed has both stages for gradient ascent."
    assert (nothing.answers, nothing.last) == ([], [])
    assert first_screen(study(claims={"targets": [0.1]})).first == ["Nothing was compared, so there is no verdict."]


def test_looking_again_is_said(study):
    assert first_screen(study(), looks(0.04, 1, [])).last[0] == (
        "At the first look, any false word in the headline family has a chance of at most 0.04; later looks, with more seeds, spend half "
        "of what is left each."
    )
    assert looks(0.005, 2, [[0, 1, 2, 3, 4, 5]]).startswith(
        "This study was judged before with 6 seeds. At look 2, any false word in the headline family has a chance of at most 0.005;"
    )
    assert looks(0.05, 0, [[0, 1], [0, 1, 2]]) == (
        "This study was judged before with 2 and 3 seeds. This look spends no alpha, for it says no word."
    )


def test_words_are_those_of_the_study(study):
    said = dict(words(study()))
    assert list(said) == ["stage", "target", "rate", "oracle", "dose", "effect", "word"]
    assert "before grokking (pre_grok): what early stopping" in said["stage"]
    assert "here UA ≤ 0.1 and UA ≤ that of the oracle; UA ≤ 0.1 in the headline" in said["target"]
    assert "gradient ascent 50 of 100" in said["dose"]
    assert "at most 0.05" in said["word"]


def test_the_signal_of_the_transition_is_named(study):
    robust = {"transition": {"signal": "adversarial"}, "trajectory": {"steps": 1000, "robustness": {}}}
    assert "from which robust accuracy holds its level" in dict(words(study(**robust)))["stage"]
    assert "from which validation accuracy holds its level" in dict(words(study()))["stage"]


def test_whether_forgetting_lasts_is_answered_with_its_numbers(attacked_study, study):
    """Before grokking the third place lasts, 35 points of bystander accuracy and 20 of RA below; the first comes back to 0.9."""
    ((question, (lasting, attacked)),) = first_screen(attacked_study()).asked
    assert question == "Does forgetting last?"
    assert lasting.startswith("Before grokking it lasts for the one method after 100 updates (median)")
    assert "35 percentage points of bystander accuracy" in lasting
    assert "After grokking it does not last for the one method" in lasting
    assert lasting.count("bring it back to 0.90") == 2
    assert attacked == (
        "Under attack, before grokking the one method has hidden what it was to forget: the worst gap to the oracle is 0.60 on average "
        "(two oracles differ by 0.05); after grokking the one method has hidden what it was to forget: the worst gap to the oracle is 0.80 "
        "on average (two oracles differ by 0.05)."
    )
    assert first_screen(study()).asked == []


def test_the_file_of_answers_holds_the_sentences_of_the_first_screen(attacked_study):
    """Also where a side has a name of its own."""
    split = [{"kind": "class"}, {"kind": "random", "size": 20}]
    sides = [[{"stage": "final", "forget": "class"}, {"stage": "final", "forget": "random-20"}]]
    for view in (
        attacked_study(unlearn=[{"kind": "neggrad_plus"}, {"kind": "scrub"}]),
        attacked_study(forget=split, claims={"compare": sides, "targets": [0.1]}, stages=["final"]),
    ):
        screen, filed = first_screen(view), filed_answers(view.recipe, view.results, view.verdicts)
        ((question, sentences),) = screen.asked
        assert len(sentences) == 2
        assert filed["durable"]["text"] == " ".join(sentences)
        assert filed["durable"]["question"] == question
        assert [answer["text"] for answer in filed["claims"]] == [answer.sentence for answer in screen.answers] != []
        assert [answer["overturned_by"] for answer in filed["claims"]] == [
            answer.overturned_by for answer in screen.answers
        ]
        assert (filed["first"], "neggrad_plus" in str(filed["claims"])) == (screen.first, False)
    assert "at the end" in filed["durable"]["text"]


def test_words_under_attack_are_counted(attacked_study):
    three = [{"kind": kind} for kind in ("gradient_ascent", "scrub", "finetune")]
    view = attacked_study(["linear_probe", "prune"], unlearn=three)
    table = view.results.stress
    known = table[(table["method"] != "scrub") | (table["attack"] != "prune")]
    few = known[(known["method"] != "finetune") | (known["seed"] < 4)]
    said = first_screen(replace(view, results=replace(view.results, stress=few))).asked[0][1][-1]
    assert said.startswith(
        "Under attack, before grokking 1 of 3 methods has hidden what it was to forget, 1 has forgotten and 1 is undecided: the worst gap to the oracle is 0.13"
    )
    assert not any("Under attack" in said for _, said in first_screen(attacked_study(oracle=False)).asked)


def test_words_of_attacks_are_explained_where_there_are_any(attacked_study):
    said = dict(words(attacked_study()))
    assert "R is the worst gap" in said["attack"]
    assert "through a repair" in said["lasting"]
