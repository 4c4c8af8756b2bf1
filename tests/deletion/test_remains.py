"""Sentences that follow from the numbers of a record."""

import re
from pathlib import Path

import pytest

from ungrok.deletion import remains
from ungrok.deletion.record import Attacked, Outcome
from ungrok.deletion.remains import LIMITS, sentences

PAGE = (Path(__file__).parents[2] / "docs" / "delete.md").read_text(encoding="utf-8")
UNKNOWN = "retraining was not available, so nothing says how much of this a model would know that never saw them"


def relearned(before, ua, ra=0.96, share=0.0, **changes):
    """Return a relearning attack; ``ua`` is by model, in the order unlearned, original, oracle."""
    models = dict(zip(("unlearned", "original", "oracle"), ua, strict=False))
    values = {
        "attack": "relearn",
        "kind": "relearn",
        "counts": True,
        "share": share,
        "setting": "share 0, lr 0.01",
        "dose": 50,
        "dose_name": "updates",
        "before": before,
        "UA": models,
        "RA": dict.fromkeys(models, ra),
        "TA": dict.fromkeys(models, 0.5),
        "gap": None,
    }
    return Attacked.model_validate(values | changes)


def outcome(auc, low, high):
    return Outcome(auc=auc, low=low, high=high, tpr_at_0_01=None, tpr_at_0_001=None, members=6, non_members=20)


@pytest.fixture
def told(made):
    """Return a function that gives the sentences, by code, of a record with other numbers."""

    def by_code(unlearned=0.33, oracle=None, stress=(), membership=None, **changes):
        accuracies = {
            "original": {"UA": 1.0, "RA": 1.0, "TA": 0.4},
            "unlearned": {"UA": unlearned, "RA": 0.95, "TA": 0.35},
        }
        accuracies |= {"oracle": {"UA": oracle, "RA": 1.0, "TA": 0.4}} if oracle is not None else {}
        update = {"accuracies": accuracies, "stress": list(stress), "membership": membership or {}} | changes
        return {sentence.code: sentence.text for sentence in sentences(made.record.model_copy(update=update))}

    return by_code


def test_a_model_that_has_not_forgotten(told):
    said = told(unlearned=1.0, stress=[relearned(1.0, [1.0, 1.0])])
    assert said["not_forgotten"] == (
        "The model has not forgotten: its accuracy on the 6 examples is 1.00, and before it was 1.00."
    )
    assert said["nothing_gone"] == "Attacks found nothing to bring back, since nothing has gone."
    assert "not_forgotten" in told(unlearned=0.998)  # equal as printed


@pytest.mark.parametrize(
    ("oracle", "code", "text"),
    [
        (
            None,
            "no_oracle",
            f"Accuracy on the 6 examples fell from 1.00 to 0.33; {UNKNOWN}. On test examples, which neither model was trained on, "
            "the new one has 0.35.",
        ),
        (
            0.17,
            "above_oracle",
            "Accuracy on the 6 examples fell from 1.00 to 0.33; a model retrained without them has 0.17, so that 0.16 of what was "
            "known is still there.",
        ),
        (0.33, "as_oracle", "Accuracy on the 6 examples fell from 1.00 to 0.33, as on a model retrained without them."),
        (
            0.5,
            "below_oracle",
            "Accuracy on the 6 examples fell from 1.00 to 0.33; a model retrained without them has 0.50. Being answered worse than "
            "by such a model can give an example away.",
        ),
    ],
)
def test_what_the_model_says_of_the_examples(told, oracle, code, text):
    assert told(oracle=oracle)[code] == text


def test_a_broken_model(told):
    said = told(unlearned=None)
    assert said["diverged"].startswith("The model gives outputs that are not finite numbers")
    assert "price" not in said


def test_a_retrained_model(told, made):
    method = made.record.method.model_copy(update={"kind": "retrain"})
    said = told(method=method, stress=[relearned(0.33, [0.5, 1.0])])
    assert said["retrained"].endswith("Its accuracy on the 6 examples is 0.33; before it was 1.00.")
    assert "itself retrained" in said["comes_back"]
    assert UNKNOWN not in "".join(said.values())


def test_what_comes_back_without_an_oracle(told):
    assert told(stress=[relearned(0.17, [0.83, 0.83])])["comes_back"] == (
        "After 50 updates on retained data alone accuracy on the forgotten examples returns from 0.17 to 0.83, as on the original; "
        f"{UNKNOWN}. Accuracy on retained examples is 0.96 there."
    )
    held = told(stress=[relearned(0.17, [0.83, 0.9], share=0.1)])["comes_back"]
    assert held.startswith("After 50 updates with 10 % of the forgotten examples in the attacker's hands accuracy")
    assert "to 0.83 (on the original to 0.90); retraining" in held


def test_nothing_comes_back(told):
    assert told(stress=[relearned(0.17, [0.17, 0.83], dose=0)])["nothing_back"] == (
        "relearn on retained data alone brings nothing back: accuracy on the forgotten examples stays at 0.17 or below."
    )


@pytest.mark.parametrize(
    ("best", "code", "end"),
    [
        (0.25, "hidden", "that of a retrained model 0.25: 0.58 was hidden, not gone."),
        (
            0.83,
            "attack_as_oracle",
            "a retrained model 0.83: no more comes back than can be learned without the examples.",
        ),
    ],
)
def test_what_comes_back_beside_an_oracle(told, best, code, end):
    text = told(oracle=0.17, stress=[relearned(0.17, [0.83, 0.9, best])])[code]
    assert text.startswith(
        "After 50 updates on retained data alone accuracy on the forgotten examples is 0.83 (0.17 before"
    )
    assert f"{end} Accuracy on retained examples is 0.96 there." in text


def test_other_attacks_say_where_they_are_strongest(told):
    rounded = relearned(0.17, [0.5, 1.0], attack="quantize", kind="quantize", dose=4, dose_name="bits", share=None)
    assert told(stress=[rounded])["comes_back"].startswith("Under quantize (bits 4) accuracy")
    assert "comes_back" not in told(stress=[relearned(0.17, [0.5, 1.0], counts=False)])  # leads to another model


@pytest.mark.parametrize(
    ("auc", "code", "end"),
    [
        ((0.9, 0.7, 0.98), "members", "they can still be told apart."),
        ((0.6, 0.3, 0.8), "not_told_apart", "6 examples show no difference."),
        ((0.1, 0.05, 0.3), "stand_out", "they stand out as forgotten."),
    ],
)
def test_membership_beside_its_null(told, auc, code, end):
    membership = {"original": {"loss": outcome(0.99, 0.9, 1.0)}, "unlearned": {"loss": outcome(*auc)}}
    text = told(membership=membership)[code]
    shown = "{:.2f} [{:.2f}, {:.2f}]".format(*auc)
    assert text.endswith(f"with a chance of {shown} (0.99 [0.90, 1.00] before; 0.50 is no difference): {end}")


def test_membership_that_could_not_be_tried(told):
    assert told(membership={"unlearned": None})["no_membership"].startswith("Membership inference was not possible")


def test_price_and_limits_always_stand_at_the_end(told):
    *_, (price, text), (limits, last) = told().items()
    assert (price, limits, last) == ("price", "limits", LIMITS)
    assert text == "Accuracy on retained examples went from 1.00 to 0.95, on test examples from 0.40 to 0.35."


def test_the_page_names_every_code():
    codes = set(re.findall(r'code="(\w+)"', Path(remains.__file__).read_text(encoding="utf-8")))
    assert len(codes) > 10
    assert [code for code in sorted(codes) if f"| `{code}` |" not in PAGE] == []
