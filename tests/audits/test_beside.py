"""Several models under the same attacks."""

import pytest
import torch
from torch import nn

from ungrok.audits import STRESS_TESTS
from ungrok.audits.beside import configured, side_by_side
from ungrok.audits.prune import Prune
from ungrok.audits.quantize import Quantize
from ungrok.audits.relearn import Relearn
from ungrok.core.errors import NotApplicable, RecipeError

from .conftest import OBJECTIVE, examples, network

SETS = {"forget": examples(20, 1, [2]), "retain": examples(60, 2, [0, 1]), "test": examples(30, 3)}


def test_what_is_made_by_default():
    labels = [test.label for test in configured(None, "classifier", False)]
    assert labels == ["interpolate_original", "linear_probe", "prune", "quantize", "relearn", "weight_noise"]
    assert [test.label for test in configured(None, "classifier", True)] == [*labels, "interpolate_oracle"]
    assert [test.label for test in configured(None, "language", True)] == ["relearn", "quantize", "extract"]


def test_names_and_objects():
    mine = Relearn(updates=3)
    assert configured(["quantize", mine], "classifier", False) == [Quantize(), mine]
    assert configured("quantize", "classifier", True) == [Quantize()]
    assert configured(mine, "classifier", True) == [mine]


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        (["relearning"], r"^attacks: 'relearning' is not known; allowed: .* \(did you mean 'relearn'\?\)"),
        (["prune", Prune(shares=0.1)], r"attacks: two are called 'prune'; give one of them a name="),
        ([], r"attacks: there are none; allowed: extract, "),
        ([3], r"attacks: 3 is neither a name nor a configured attack; allowed: for instance 'relearn' or Relearn\(\)"),
        (3, r"^attacks: 3 is neither"),
        (True, r"^attacks: True is neither"),
        (Prune, r"^attacks: the class Prune is neither"),
        ([Prune], r"^attacks: the class Prune is neither"),
        ({"kind": "prune"}, r"^attacks: \{'kind': 'prune'\} is neither"),
    ],
)
def test_what_is_refused(attacks, message):
    with pytest.raises(RecipeError, match=message):
        configured(attacks, "classifier", False)


@pytest.mark.parametrize(
    ("frozen", "message"),
    [("unlearned", "trains 27 weights of the unlearned model and 83 of the oracle"), ("oracle", "")],
)
def test_a_model_of_which_less_is_trained_than_of_its_oracle_is_warned_of(frozen, message, recwarn):
    models = {name: network() for name in ("unlearned", "oracle", "original")}
    models[frozen][0].requires_grad_(requires_grad=False)
    side_by_side([Prune(shares=0.3)], models, OBJECTIVE, SETS, 0)
    assert recwarn.list == []
    side_by_side([Relearn(updates=1, lr=0.1, shares=0.0)], models, OBJECTIVE, SETS, 0)
    assert [message in str(one.message) for one in recwarn.list] == [True] * bool(message)


def test_every_model_is_attacked_in_the_same_way():
    model = network()
    report = side_by_side(
        [Prune(shares=0.3), Relearn(updates=2, lr=0.1, shares=(0.0, 0.1))],
        {"unlearned": network(1), "original": model, "oracle": model},
        OBJECTIVE,
        SETS,
        0,
    )
    rows = {
        name: [row for row in report.rows if row["subject"] == name] for name in ("unlearned", "oracle", "original")
    }
    assert [len(part) for part in rows.values()] == [2 + 2 * 3] * 3
    assert [row | {"subject": ""} for row in rows["oracle"]] == [row | {"subject": ""} for row in rows["original"]]
    assert [row["UA"] for row in rows["unlearned"]] != [row["UA"] for row in rows["original"]]
    assert list(dict.fromkeys(row["subject"] for row in report.rows)) == ["unlearned", "oracle", "original"]


def test_what_cannot_be_done_is_refused_before_any_work():
    calls = []

    class Watched(nn.Linear):
        def forward(self, x):
            calls.append(len(x))
            return super().forward(x)

    models = dict.fromkeys(("unlearned", "original"), Watched(6, 3))
    with pytest.raises(NotApplicable, match="extract: attacks language models only"):
        side_by_side(configured(["prune", "extract"], "classifier", False), models, OBJECTIVE, SETS, 0)
    line = STRESS_TESTS.get("interpolate")(to="oracle")
    with pytest.raises(RecipeError, match="interpolate needs oracle="):
        side_by_side([Prune(), line], models, OBJECTIVE, SETS, 0)
    assert not calls
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("oracle", "message"),
    [
        (nn.Linear(5, 3), r"^oracle: the model does not take the batches of forget \(.*shapes"),
        (
            nn.Linear(6, 4),
            r"^oracle: gives outputs of shape \(4,\) for an example; allowed: \(3,\), as the unlearned model$",
        ),
    ],
)
def test_a_model_of_other_data_is_named(oracle, message):
    with pytest.raises(RecipeError, match=message):
        side_by_side([Prune()], {"unlearned": network(), "original": network(), "oracle": oracle}, OBJECTIVE, SETS, 0)


def test_the_model_that_cannot_be_attacked_is_named():
    models = {"unlearned": network(), "original": network(), "oracle": network(1).requires_grad_(False)}
    with pytest.raises(NotApplicable, match=r"^oracle: relearn: every parameter of the model is frozen$"):
        side_by_side([Relearn()], models, OBJECTIVE, SETS, 0)
