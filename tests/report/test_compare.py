"""The paper's numbers beside measured ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ungrok.core.errors import RecipeError
from ungrok.core.files import read_json, write_json
from ungrok.report.compare import compare, scales
from ungrok.report.view import View
from ungrok.study.claims import judge
from ungrok.study.folder import StudyFolder
from ungrok.study.loading import to_yaml
from ungrok.study.results import MECHANISM
from ungrok.study.statistics import sign_flip

SEEDS = range(8)
FORGET = [{"kind": "classes", "classes": 2, "fraction": 0.15}]
GROUPS = [("grokked", 20), ("ungrokked", 50)]
METHODS = [{"kind": "gradient_ascent"}, {"kind": "nabla_tau"}]


def compared(where, *rest):
    return compare(View.of(StudyFolder.open(where)), *rest)


@pytest.fixture
def folder(study, tmp_path):
    """Return a function that writes a study whose paths end in the values of a rule of (stage, method, seed, metric)."""

    def write(value=None, hit=lambda cell: 40.0, name="by-hand", **changes):
        view = study(hit, name=name, **{"forget": FORGET, "unlearn": METHODS, **changes})
        rows = view.results.rows
        for index, row in rows.iterrows() if value else ():
            if row["dose"] >= 50:
                for metric in ("UA", "RA", "TA"):
                    rows.loc[index, metric] = value(row["stage"], row["method"], row["seed"], metric)
        verdicts = judge(rows, view.recipe, view.doses)
        (tmp_path / "report").mkdir(exist_ok=True)
        (tmp_path / "recipe.yaml").write_text(to_yaml(view.recipe))
        rows.to_parquet(tmp_path / "results.parquet")
        doses = {method: {"budget": own.end, "matched": own.matched} for method, own in view.doses.items()}
        write_json(tmp_path / "provenance.json", {"doses": doses})
        (tmp_path / "report" / "verdicts.json").write_text(
            json.dumps([verdict.to_dict() for verdict in verdicts], allow_nan=False)
        )
        return tmp_path

    return write


def find(lines, method, metric, forget="classes-2-0.15"):
    (line,) = [line for line in lines if (line.forget, line.method, line.metric) == (forget, method, metric)]
    return line


def test_differences_carry_the_interval_over_seeds(folder):
    """UA falls by 0.2 + 0.01·seed from pre_grok to grokked, RA falls by the same; TA stays."""

    def value(stage, method, seed, metric):
        return 0.5 - (stage == "grokked") * {"UA": 1, "RA": 1, "TA": 0}[metric] * (0.2 + 0.01 * seed)

    lines = compared(folder(value), "paper:table1-cnn")
    estimate = sign_flip(np.array([-0.2 - 0.01 * seed for seed in SEEDS]))
    ends = (f"−{abs(x):.3f}" for x in (estimate.effect, estimate.low, estimate.high))
    expected = "{} [{},\N{NO-BREAK SPACE}{}]".format(*ends)
    ua, ra, ta = (find(lines, "gradient_ascent", metric) for metric in ("UA", "RA", "TA"))
    assert (ua.paper, ua.claimed, ua.difference, ua.verdict) == ("0.116 → 0.058", "−", expected, "agrees")
    assert (ra.paper, ra.claimed, ra.difference, ra.verdict) == ("0.117 → 0.175", "+", expected, "contradicts")
    assert (ta.claimed, ta.verdict) == ("+", "open")
    assert ua.measured == "0.500 ± 0.000 → 0.265 ± 0.024"
    assert ua.places == "pre_grok → grokked"


def test_a_diverged_model_may_have_had_any_accuracy(folder):
    def value(stage, method, seed, metric):
        return np.nan if stage == "grokked" and seed == 0 else 0.9 if stage == "grokked" else 0.1

    line = find(compared(folder(value), "paper:table1-cnn"), "gradient_ascent", "TA")
    assert line.measured == "0.100 ± 0.000 → 0.900 ± 0.000 (7 of 8)"
    effects = [(7 * 0.8 + x) / 8 for x in (-0.1, 0.9)]
    assert line.difference.startswith(f"{sum(effects) / 2:.3f} [")


def test_what_a_study_did_not_measure_is_left_empty(folder):
    lines = compared(folder(), "paper:table1-cnn")
    assert {line.verdict == "not measured" for line in lines} == {True, False}
    for line in lines:
        missing = line.forget == "classes-2-0.5" or line.method == "scrub"
        assert (line.measured == "– → –") == missing
        if missing:
            assert (line.difference, line.verdict) == ("–", "not measured")


def test_start_and_oracle(folder):
    """Paths start from UA, RA, TA = 1, 1, 0.9; oracles have 0.2, 1, 0.8."""
    lines = compared(folder(arms={"spline": {}}), "paper:table8-svhn")
    original = [line for line in lines if line.method == "original" and line.metric == "TA"]
    assert [line.places for line in original][:2] == ["pre_grok → grokked", "spline/final → grokked"]
    assert original[0].measured == "0.900 ± 0.000 → 0.900 ± 0.000"
    assert original[1].measured == "– → 0.900 ± 0.000"
    retrain = find(lines, "retrain", "UA")
    assert (retrain.paper, retrain.measured, retrain.claimed) == ("0.840", "0.200 ± 0.000", "")


def test_a_place_can_be_elsewhere(folder):
    def value(stage, method, seed, metric):
        return 0.3 if stage == "final" else 0.5

    where = folder(value, stages=["pre_grok", "final"], claims={"compare": [["pre_grok", "final"]]})
    line = find(compared(where, "paper:table1-cnn", ["grok=final"]), "gradient_ascent", "UA")
    assert (line.places, line.measured) == ("pre_grok → final", "0.500 ± 0.000 → 0.300 ± 0.000")
    for wrong, near in (("grk=final", "grok="), ("grok=finall", "final"), ("pre=sam/final", "final")):
        with pytest.raises(RecipeError, match=f"--place.*allowed: .*{near}"):
            compared(where, "paper:table1-cnn", [wrong])


def test_splits_are_compared_where_the_paper_compares_groups(folder):
    """ES_forget is 0.2 + 0.01·seed lower on the grokked group, ES_retain the same."""
    forget = [{"kind": "classes", "name": f"{group}-{size}", "classes": 2} for group, size in GROUPS]
    where = folder(forget=forget, stages=["final"], claims={"compare": []})
    rows = pd.read_parquet(where / "results.parquet")
    rows["ES_retain"] = 0.6
    rows["ES_forget"] = 0.5 - rows["forget"].str.startswith("grokked") * (0.2 + 0.01 * rows["seed"])
    rows.to_parquet(where / "results.parquet")
    lines = compared(where, "paper:table2", ["grokked-50=grokked-20"])
    line = next(one for one in lines if (one.method, one.metric) == ("gradient_ascent", "ES_forget"))
    assert (line.forget, line.places) == ("", "final/ungrokked-50 → final/grokked-20")
    assert (line.paper, line.claimed, line.verdict) == ("0.518 → 0.344", "−", "agrees")
    assert line.measured == "0.500 ± 0.000 → 0.265 ± 0.024"
    retained = next(one for one in lines if (one.method, one.metric) == ("gradient_ascent", "ES_retain"))
    assert (retained.paper, retained.claimed, retained.verdict) == ("0.556 → 0.605", "+", "open")
    assert not [one for one in lines if (one.method, one.metric) == ("npo", "ES_retain")]
    with pytest.raises(RecipeError, match=r"--place grokked-50: 'final'.*grokked-20"):
        compared(where, "paper:table2", ["grokked-50=final"])


def test_updates_to_target(folder):
    """From the grokked step half the updates: log(1/2), the same in every seed."""
    lines = compared(folder(hit=lambda cell: 20.0 if cell.stage == "grokked" else 40.0), "paper:figure2")
    line = find(lines, "nabla_tau", "updates to UA ≤ 0.1")
    assert (line.paper, line.measured, line.claimed, line.verdict) == ("15-20 → 5-8", "40 → 20", "−", "agrees")
    assert line.difference.startswith(f"−{math.log(2):.2f} [−0.69")
    slower = compared(folder(hit=lambda cell: 80.0 if cell.stage == "grokked" else 40.0), "paper:figure2")
    assert find(slower, "nabla_tau", "updates to UA ≤ 0.1").verdict == "contradicts"
    half = find(lines, "nabla_tau", "updates to UA ≤ 0.1", "classes-2-0.5")
    assert (half.paper, half.claimed, half.measured) == ("– → –", "0", "– → –")


def test_spread_over_seeds(folder):
    def value(stage, method, seed, metric):
        return 0.5 + (seed - 3.5) * (0.01 if stage == "grokked" else 0.1)

    line = find(compared(folder(value), "paper:table1-resnet"), "gradient_ascent", "UA sd")
    assert (line.paper, line.claimed, line.verdict) == ("0.159 → 0.013", "−", "agrees")
    assert line.measured == "0.245 → 0.024"
    assert line.difference.startswith(f"−{math.log(10):.2f} [")


def test_a_study_is_read_where_its_device_is_not(folder):
    where = folder()
    made = read_json(where / "provenance.json")
    write_json(where / "provenance.json", made | {"device": "cuda"})
    assert View.of(StudyFolder.open(where)).recipe.device == "cuda"
    assert compared(where, "paper:table1-cnn")


def test_a_folder_without_a_study(folder, tmp_path):
    with pytest.raises(RecipeError, match="holds no study"):
        compared(tmp_path, "paper:table1")
    where = folder()
    (where / "provenance.json").write_text("{}")
    with pytest.raises(RecipeError, match="ungrok report"):
        compared(where, "paper:table1")


@pytest.mark.parametrize(
    ("part", "forget", "method", "metric", "said"),
    [
        ("table1-resnet", "classes-2-0.15", "gradient_ascent", "UA", "0.756 → 0.709"),
        ("table1-resnet", "classes-2-0.5", "finetune", "TA", "0.447 → 0.752"),
        ("table8-svhn", "classes-2-0.3", "gradient_ascent", "RA", "0.309 → 0.399"),
        ("table8-imagenet100", "classes-2-0.15", "nabla_tau", "RA", "0.637 → 0.756"),
        ("table10", "random-0.15", "fisher", "TA", "0.119 → 0.076"),
        ("table11", "classes-2-0.15", "gradient_ascent", "RA", "0.472 → 0.485"),
    ],
)
def test_columns_are_read_in_the_order_of_each_table(folder, part, forget, method, metric, said):
    lines = compared(folder(), f"paper:{part}")
    printed = [line.paper for line in lines if (line.forget, line.method, line.metric) == (forget, method, metric)]
    assert printed[0] == said


def test_measures_of_mechanism_are_compared_by_their_differences(folder):
    """A cosine that falls by 0.3 in every seed agrees; an angle of the wrong sign contradicts; what was not measured is said."""
    arms = {"spline": {"stages": ["final"]}}
    where = folder(arms=arms, analyze=[{"kind": "gradient_alignment"}])
    rows = []
    for seed in SEEDS:
        for arm, stage, late in (("base", "pre_grok", 0), ("base", "grokked", 1), ("spline", "final", 2)):
            place = dict.fromkeys(MECHANISM) | {"seed": seed, "arm": arm, "stage": stage, "forget": "classes-2-0.15"}
            place |= {"method": "", "on": "forget|retain", "layer": "model", "null": ""}
            rows.append(place | {"measure": "gradient_cosine", "value": 0.9 + seed / 100 - 0.3 * late})
            if arm == "base":
                rows.append(place | {"measure": "gradient_angle", "value": 40.0 + seed - 10 * late})
            rows.append(place | {"measure": "gradient_cosine", "value": 5.0, "null": "permuted"})
    pd.DataFrame(rows, columns=MECHANISM).to_parquet(where / "mechanism.parquet")
    lines = {(line.metric, line.places): line for line in compared(where, "paper:table9")}
    cosine = lines["gradient_cosine on forget|retain", "pre_grok → grokked"]
    assert (cosine.method, cosine.paper, cosine.measured) == ("original", "0.999 → 0.426", "0.935 → 0.635")
    assert (cosine.claimed, cosine.verdict) == ("−", "agrees")
    assert cosine.difference.startswith("−0.3 ")
    assert lines["gradient_cosine on forget|retain", "spline/final → grokked"].verdict == "contradicts"
    assert lines["gradient_angle on forget|retain", "pre_grok → grokked"].verdict == "contradicts"
    unknown = lines["gradient_angle on forget|retain", "spline/final → grokked"]
    assert (unknown.measured, unknown.verdict) == ("– → –", "not measured")


def test_ua_below_ra_is_compared_by_its_difference(folder):
    """UA − RA is 0 before grokking and −0.3 − 0.01·seed after it, as the paper's Figure 1 shows."""

    def value(stage, method, seed, metric):
        return 0.5 - (stage == "grokked") * (metric == "UA") * (0.3 + 0.01 * seed)

    (line,) = compared(folder(value), "paper:figure1")
    assert (line.metric, line.paper, line.claimed, line.verdict) == ("UA − RA", "– → –", "−", "agrees")
    assert line.measured == "0.000 ± 0.000 → −0.335 ± 0.024"
    (other,) = compared(folder(lambda *cell: 0.5 + 0.3 * (cell[0] == "grokked") * (cell[3] == "UA")), "paper:figure1")
    assert other.verdict == "contradicts"


def test_groups_that_do_not_differ_are_open_and_others_contradict(folder):
    """The paper gives no margin within which groups would be alike, so that nothing agrees."""
    forget = [{"kind": "classes", "name": f"{group}-200", "classes": 2} for group in ("grokked", "ungrokked")]
    where = folder(forget=forget, stages=["final"], claims={"compare": []})
    rows = [
        {"seed": seed, "arm": "base", "forget": f"{group}-200", "question_length": 60 + seed % 2 * late - seed // 2 % 2 * late,
         "answer_length": 150.0 + 8 * late + seed}
        for seed in SEEDS for late, group in enumerate(("grokked", "ungrokked"))
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(where / "groups.parquet")
    question, answer, loss = compared(where, "paper:table12")
    assert (question.metric, question.paper, question.verdict) == ("question length", "69.3 → 66.9", "open")
    assert (answer.paper, answer.measured, answer.verdict) == ("149.6 → 157.4", "162 → 154", "contradicts")
    assert (loss.paper, loss.measured, loss.verdict) == ("p = 0.31", "– → –", "not measured")


def test_scales_stand_beside_each_other(folder):
    assert scales(View.of(StudyFolder.open(folder())), "table11") == (
        "The paper: a ResNet on SVHN, trained to about step 500,000, 3 seeds. Here: MLP on 400 examples of 8x8 digits, 1,000 updates, 8 seeds."
    )


def test_before_unlearning_table_2_prints_one_value_for_both_groups(folder):
    forget = [{"kind": "classes", "name": f"{group}-50", "classes": 2} for group in ("grokked", "ungrokked")]
    where = folder(forget=forget, stages=["final"], claims={"compare": []})
    rows = pd.read_parquet(where / "results.parquet")
    rows.assign(ES_retain=0.6, ES_forget=0.5).to_parquet(where / "results.parquet")
    lines = compared(where, "paper:table2")
    own = [line for line in lines if line.method == "original" and "-50" in line.places]
    assert {(line.metric, line.paper, line.claimed) for line in own} == {
        ("ES_retain", "0.649", ""),
        ("ES_forget", "0.597", ""),
    }


def test_a_pair_of_swapped_seeds_is_one_observation(swapped_study):
    """ES of the early group is 0.1 lower, and by what its examples alone are worth, which cancels in the pair."""
    view, planted = swapped_study
    rows = view.results.rows.assign(ES_retain=0.6, ES_forget=0.5)
    early = rows["forget"] == "early-6"
    rows.loc[early, "ES_forget"] = [0.4 + planted(seed) / 10 for seed in rows.loc[early, "seed"]]
    one = replace(view, results=replace(view.results, rows=rows))
    lines = compare(one, "paper:table2", ["ungrokked-50=late-6", "grokked-50=early-6"])
    line = next(each for each in lines if (each.method, each.metric) == ("gradient_ascent", "ES_forget"))
    assert (line.difference, line.verdict) == ("−0.100 [−0.100,\xa0−0.100]", "agrees")
