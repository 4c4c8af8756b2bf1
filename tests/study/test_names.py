"""Names for people, of what recipes hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.conftest import later_is_slower, recipe, view

from ungrok.data import FORGET_RULES
from ungrok.methods import UNLEARNERS
from ungrok.study.claims import At, place_name
from ungrok.study.names import METHODS, Names, metric_name, rule_name, share, spelled
from ungrok.study.place import comparisons
from ungrok.train.schemes import SCHEMES


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"kind": "class"}, "one class"),
        ({"kind": "class", "label_to_forget": 3}, "class 3"),
        ({"kind": "classes", "classes": 2, "fraction": 0.5}, "half of two classes"),
        ({"kind": "classes", "classes": 1, "fraction": 0.15}, "15 % of one class"),
        ({"kind": "classes", "classes": 12, "fraction": 1.0}, "12 classes"),
        ({"kind": "random", "fraction": 0.1}, "a random 10 %"),
        ({"kind": "random", "size": 1}, "1 random example"),
        ({"kind": "random", "size": 2000}, "2,000 random examples"),
        ({"kind": "mislabeled"}, "mislabeled examples"),
        ({"kind": "last", "fraction": 0.01}, "the last 1 %"),
        ({"kind": "local_grokking", "group": "ungrokked", "size": 50, "matched": True}, "50 ungrokked pairs, matched"),
        ({"kind": "classes", "name": "classes-2-0.5"}, "classes-2-0.5"),
    ],
)
def test_a_forget_split_is_named_by_its_rule(rule, name):
    assert rule_name(FORGET_RULES.get(rule["kind"]).model_validate(rule)) == name


def test_names_that_are_alike_give_way_to_labels():
    forget = [{"kind": "class"}, {"kind": "class", "name": "one class"}, {"kind": "random", "size": 20}]
    names = Names(recipe(forget=forget))
    assert names.forgets(["class", "one class", "random-20"]) == ["class", "one class", "20 random examples"]


def test_methods_are_named_as_in_the_literature():
    unlearn = [
        {"kind": "gradient_ascent"},
        {"kind": "neggrad_plus", "lr": [0.001, 0.01]},
        {"kind": "scrub", "name": "my_scrub"},
    ]
    names = Names(recipe(unlearn=unlearn))
    assert names.method("gradient_ascent") == "gradient ascent"
    assert names.method("neggrad_plus lr=0.01") == "NegGrad+, rate 0.01"
    assert names.method("my_scrub") == "my_scrub"
    # Paths of a rate search stand under labels that the recipe does not list.
    assert names.method("gradient_ascent lr=0.0008") == "gradient ascent, rate 0.0008"
    assert names.method("my_scrub lr=2") == "my_scrub, rate 2"


def test_only_kinds_of_methods_and_schemes_have_names_in_the_literature():
    assert METHODS.keys() <= {*UNLEARNERS.names(), *SCHEMES.names()}
    named = Names(recipe(schemes=[{"kind": "sisa"}, {"kind": "sisa", "name": "many", "shards": 20}]))
    assert [named.method(label) for label in ("sisa", "many")] == ["SISA", "many"]


def test_stages_and_sides_are_named_in_words():
    compare = [
        ["pre_grok", "grokked"],
        ["memorized", {"arm": "slow", "stage": 200}],
        [{"stage": "grokked", "forget": "class"}, {"stage": "grokked", "forget": "random-20"}],
        ["grokked", "light"],
    ]
    own = recipe(
        stages=["pre_grok", "memorized", "grokked", "light", "step-200"],
        forget=[{"kind": "class"}, {"kind": "random", "size": 20}],
        arms={"slow": {"trajectory": {"batch_size": 32}}},
        controls={"light": {"kind": "rescaled", "stage": "grokked"}},
        claims={"compare": compare},
    )
    names = Names(own)
    named = {names.comparison(c): names.splits(c) for c in comparisons(own)}
    assert named == {
        "before grokking → after grokking": "20 random examples",
        "at memorization → slow, step 200": "20 random examples",
        "one class → 20 random examples, after grokking": "one class → 20 random examples",
        "after grokking → light": "20 random examples",
    }
    assert names.series("slow", "pre_grok") == "slow, before grokking"
    left, right = own.claims.compare[1]
    assert (names.placed(left), names.placed(right), names.placed(right, "at")) == (
        *("at memorization", "from slow, step 200", "at slow, step 200"),
    )
    assert [names.compared(*pair) for pair in own.claims.compare] == [
        *("after grokking", "from slow, step 200, compared with memorization"),
        *("after grokking, for 20 random examples compared with one class", "from light, compared with after grokking"),
    ]


def test_verdicts_call_their_methods_by_name():
    made = view(recipe(unlearn=[{"kind": "neggrad_plus"}]), later_is_slower)
    called = Names(made.recipe).called(made.verdicts)
    assert {one.method for one in made.verdicts} == {"neggrad_plus"}
    assert {one.method for one in called} == {"NegGrad+"}
    assert [replace(one, method="neggrad_plus") for one in called] == made.verdicts


def test_metrics_places_and_counts_are_words():
    assert metric_name("bystander_accuracy") == "bystander accuracy"
    assert metric_name("RA share") == "RA share"
    assert metric_name("a_new_metric") == "a new metric"
    assert place_name(At.target("oracle")) == "UA ≤ that of the oracle"
    assert place_name(At.target(0.1)) == "UA ≤ 0.1"
    assert (spelled(0), spelled(10), spelled(11)) == ("no", "ten", "11")
    assert (share(0.5), share(0.015)) == ("half", "1.5 %")
