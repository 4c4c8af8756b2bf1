"""The table of an audit, on signals whose distributions are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ungrok
from ungrok.audits.shadows import Shadows, Unlearned
from ungrok.audits.table import halves, table

MODELS, EXAMPLES, FORGET, TEST = 64, 60, np.arange(30), 20


@pytest.fixture(scope="module")
def stage():
    """Return models of two classes, whose margin on what they hold is 2 larger; one method forgets it all, one nothing."""
    draw = np.random.default_rng(1)
    held = draw.random((MODELS, EXAMPLES)) < 0.5
    held[:, FORGET] = (np.arange(MODELS) % 2 == 0)[:, None]
    noise, hard = draw.normal(size=(3, MODELS, EXAMPLES)), draw.normal(size=EXAMPLES)
    inside = np.flatnonzero(held[:, 0])

    def logits(margins):
        return np.stack([np.asarray(margins), np.zeros_like(margins)], axis=-1).astype(np.float16)

    test = logits(draw.normal(size=(MODELS, TEST)))
    without = held.copy()
    without[:, FORGET] = False
    forgot = {
        "retrained": Unlearned(inside, logits(hard + noise[1] + 2 * without)[inside], test[inside]),
        "nothing": Unlearned(inside, logits(hard + noise[2] + 2 * held)[inside], test[inside]),
    }
    zeros = np.zeros(EXAMPLES, dtype=np.int64)
    return Shadows(
        "grokked", 70, np.arange(MODELS), held, logits(hard + noise[0] + 2 * held), test, zeros, zeros[:TEST],
        {"class": FORGET}, {"class": forgot},
    )  # fmt: skip


@pytest.fixture(scope="module")
def content(stage):
    return table([stage], ["ulira", "rmia", "klom"], memorization=True, entanglement=True)


def test_a_row_holds_what_the_measure_returns(stage, content):
    row = next(r for r in content["rows"] if (r["measure"], r["method"]) == ("ulira", "nothing"))
    alone = ungrok.audits.ulira(stage.after("class", "nothing"), stage.never("class"), original=stage.original("class"))
    assert row["value"] == alone.auc
    assert row["interval"] == [*alone.interval]
    assert row["over_models"] == [*alone.over_models]
    assert row["over_examples"] == [*alone.over_examples]
    assert row["null"]["upper"] == alone.null.upper
    assert row["needed"]["models"] == alone.needed.models
    assert (row["models"], row["examples"]) == ([32, 32], 30)
    assert row["value"] == pytest.approx(0.92, abs=0.03), "Φ(2/√2)"


def test_retraining_cannot_be_told_from_models_that_never_saw_the_set(content):
    row = next(r for r in content["rows"] if (r["measure"], r["method"]) == ("ulira", "retrained"))
    assert row["interval"][0] <= 0.5 <= row["interval"][1]
    assert row["excess"] < 0.03


def sigmoid(margins):
    return 1 / (1 + np.exp(-margins))


def test_rmia_takes_the_test_examples_of_the_same_models_for_its_population(stage, content):
    test, inside, outside = sigmoid(stage.test[..., 0].astype(float)), np.arange(0, MODELS, 2), np.arange(1, MODELS, 2)
    never, original = sigmoid(stage.never("class")), sigmoid(stage.original("class"))
    for method in ("nothing", "retrained"):
        row = next(r for r in content["rows"] if (r["measure"], r["method"]) == ("rmia", method))
        alone = ungrok.audits.rmia(
            sigmoid(stage.after("class", method)),
            never,
            population=(test[inside], test[outside]),
            original=np.concatenate([original, test[inside]], axis=1),
        )
        assert (row["models"], row["examples"]) == ([32, 32], 30)
        assert (row["value"], *row["interval"]) == pytest.approx((alone.auc, *alone.interval))
        assert row["null"]["upper"] == pytest.approx(alone.null.upper)
        assert row["needed"]["models"] == alone.needed.models
        assert row["needed"]["value"] == pytest.approx(alone.needed.value)
    (told,) = [row for row in content["planted"] if row["measure"] == "rmia"]
    parts, half = {"oracle": never[:16], "retrain": never[16:], "identity": original[:16]}, original[:16].copy()
    half[:, ::2] = never[16:, ::2]
    behind = {"retrain": test[outside][16:], "identity": test[inside][:16], "half": test[inside][:16]}
    assert [truth["value"] for truth in told["truths"]] == pytest.approx(
        [
            ungrok.audits.rmia(part, parts["oracle"], population=(behind[name], test[outside][:16])).auc
            for name, part in (("retrain", parts["retrain"]), ("half", half), ("identity", parts["identity"]))
        ]
    )
    assert told["words"] == "may speak"


def test_planted_truths_are_halves_of_the_models_and_decide_what_may_speak(stage, content):
    signals = halves(stage, "class")
    assert {part.shape for part in signals.values()} == {(16, 30)}
    assert np.array_equal(np.concatenate([signals["oracle"], signals["retrain"]]), stage.never("class"))
    assert np.array_equal(signals["half"][:, ::2], signals["retrain"][:, ::2])
    assert np.array_equal(signals["half"][:, 1::2], signals["identity"][:, 1::2])
    for row in [row for row in content["planted"] if row["measure"] != "rmia"]:
        oracle = signals["oracle"]
        measure = {"ulira": ungrok.audits.ulira, "klom": ungrok.audits.klom}[row["measure"]]
        assert [truth["value"] for truth in row["truths"]] == [
            measure(signals[name], oracle).value for name in ("retrain", "half", "identity")
        ]
    assert content["planted"][0]["words"] == "may speak"
    assert {(row["measure"], row["words"]) for row in content["rows"]} == {
        (row["measure"], row["words"]) for row in content["planted"]
    }


def test_who_reached_the_stage_and_how_well_models_do(stage, content):
    assert content["stages"] == [
        {"stage": "grokked", "pool": EXAMPLES, "trained": 70, "reached": 64, "share": 64 / 70, "holding": {"class": 32}}
    ]
    rows = {row["who"]: row for row in content["accuracies"]}
    assert set(rows) == {"original", "never", "retrained", "nothing"}
    right = stage.logits[..., 0] >= stage.logits[..., 1]
    inside, others = np.arange(0, MODELS, 2), np.arange(30, EXAMPLES)
    assert rows["original"]["forget_set"] == right[inside][:, FORGET].mean()
    held = stage.held[inside][:, others]
    assert rows["original"]["retain"] == pytest.approx(right[inside][:, others][held].mean())
    own = stage.unlearned["class"]["retrained"].logits[:, FORGET]
    level = rows["never"]["forget_set"]
    down = sum((model[:, 0] >= model[:, 1]).mean() <= level for model in own)
    assert 0 < down < len(own)
    assert (rows["retrained"]["down"], rows["nothing"]["down"]) == (down, 0)
    assert rows["never"]["test"] == (stage.test[1::2, :, 0] >= stage.test[1::2, :, 1]).mean()


def test_memorization_and_entanglement_where_asked(stage, content):
    (row,), right = content["memorization"], ungrok.audits.correctness(stage.logits, stage.targets)
    alone = ungrok.audits.memorization(right, stage.held)
    assert (row["mean"], row["examples"]) == (alone.mean, EXAMPLES)
    assert [row["thirds"][name]["mean"] for name in ("low", "middle", "high")] == [
        alone.values[third].mean() for third in alone.thirds()
    ]
    (mixed,) = content["entanglement"]
    values = []
    for model in range(0, MODELS, 2):
        kept = stage.held[model].copy()
        kept[FORGET] = False
        values.append(ungrok.audits.entanglement(stage.logits[model][kept], stage.logits[model][FORGET]).value)
    assert mixed["value"] == pytest.approx(np.mean(values))
    assert "memorization" not in table([stage], [])


def test_it_is_plain_json_and_too_few_models_say_so(stage, content):
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    few = Shadows(
        "early", 70, stage.numbers[:4], stage.held[:4], stage.logits[:4], stage.test[:4], stage.targets,
        stage.test_targets, stage.forget,
        {"class": {"scrub": Unlearned(stage.numbers[:4:2], stage.logits[:4:2], stage.test[:4:2])}},
    )  # fmt: skip
    said = table([few], ["ulira"])
    assert [row["reason"] for row in said["rows"]] == ["2 models of a side are too few; at least 4 are needed"]
    assert [row["words"] for row in said["rows"] + said["planted"]] == ["cannot tell at this N"] * 2
