"""What remains of the examples after a deletion, in sentences that follow from the numbers of a record.

Numbers are compared as they are printed, with two digits: what differs by less counts as equal.
"""

from __future__ import annotations

from collections.abc import Iterator

from ungrok.core.accountant import Promise
from ungrok.deletion.record import ORACLE, ORIGINAL, UNLEARNED, Attacked, DeletionRecord, Outcome, Sentence

LIMITS = (
    "None of this proves that nothing can be recovered: an attack that finds nothing shows only that this attack finds nothing, and "
    "a record says nothing of other copies of the examples or of the model."
)

UNKNOWN = "retraining was not available, so nothing says how much of this a model would know that never saw them"

CHANCE = 0.5
"""AUC of an attack that cannot tell members from others: its null."""


def sentences(record: DeletionRecord) -> list[Sentence]:
    """Return the sentences of a record, from its numbers alone; those that it holds are not read."""
    forgetting, attacks = _forgetting(record), [attacked for attacked in record.stress if attacked.counts]
    if forgetting.code == "not_forgotten" and attacks:
        brought = [Sentence(code="nothing_gone", text="Attacks found nothing to bring back, since nothing has gone.")]
    else:
        brought = [_attack(record, attacked) for attacked in attacks]
    return [
        forgetting,
        *_certified(record),
        *brought,
        _membership(record),
        *_price(record),
        Sentence(code="limits", text=LIMITS),
    ]


def _forgetting(record: DeletionRecord) -> Sentence:
    before, new = _rounded(record.accuracies[ORIGINAL]["UA"]), record.accuracies[UNLEARNED]
    after, test = _rounded(new["UA"]), _rounded(new["TA"])
    best = _rounded(record.accuracies[ORACLE]["UA"]) if ORACLE in record.accuracies else None
    examples = _examples(record)
    if before is None or after is None:
        return Sentence(
            code="diverged",
            text="The model gives outputs that are not finite numbers: it is broken, and what it has forgotten cannot be read.",
        )
    if _retrained(record):
        text = f"The new model was trained on the retained examples alone, from weights that were given as fresh. Its accuracy on {examples} is {after:.2f}; before it was {before:.2f}."
        return Sentence(code="retrained", text=text)
    if after >= before:
        text = (
            f"The model has not forgotten: its accuracy on {examples} is {after:.2f}, and before it was {before:.2f}."
        )
        return Sentence(code="not_forgotten", text=text)
    fell = f"Accuracy on {examples} fell from {before:.2f} to {after:.2f}"
    if best is None:
        text = (
            f"{fell}; {UNKNOWN}. On test examples, which neither model was trained on, the new one has {_shown(test)}."
        )
        return Sentence(code="no_oracle", text=text)
    if after > best:
        text = f"{fell}; a model retrained without them has {best:.2f}, so that {after - best:.2f} of what was known is still there."
        return Sentence(code="above_oracle", text=text)
    if after < best:
        text = f"{fell}; a model retrained without them has {best:.2f}. Being answered worse than by such a model can give an example away."
        return Sentence(code="below_oracle", text=text)
    return Sentence(code="as_oracle", text=f"{fell}, as on a model retrained without them.")


def _certified(record: DeletionRecord) -> Iterator[Sentence]:
    if record.certified is not None:
        promise = Promise(**record.certified.model_dump(exclude={"updates"}))
        text = f"The method {promise}: whatever else can be told of the examples, if base depends on none of them and nobody learns the seed."
        yield Sentence(code="certified", text=text)


def _attack(record: DeletionRecord, attacked: Attacked) -> Sentence:
    before, after, retained = (
        _rounded(value) for value in (attacked.before, attacked.UA[UNLEARNED], attacked.RA[UNLEARNED])
    )
    if before is None or after is None:
        return Sentence(code="attack_diverged", text=f"{attacked.attack} could not be read: the model has diverged.")
    there = f" Accuracy on retained examples is {_shown(retained)} there."
    best, first = (_rounded(attacked.UA.get(name)) for name in (ORACLE, ORIGINAL))
    if best is not None:
        now = f"{_after(attacked)} accuracy on the forgotten examples is {after:.2f} ({before:.2f} before the attack), that of a retrained model {best:.2f}"
        if after > best:
            text = f"{now}: {after - best:.2f} was hidden, not gone.{there}"
            return Sentence(code="hidden", text=text)
        return Sentence(
            code="attack_as_oracle",
            text=f"{now}: no more comes back than can be learned without the examples.{there}",
        )
    if after <= before:
        means = f"{attacked.attack}{_with(attacked)}"
        text = f"{means} brings nothing back: accuracy on the forgotten examples stays at {before:.2f} or below."
        return Sentence(code="nothing_back", text=text)
    beside = ", as on the original" if after == first else f" (on the original to {_shown(first)})"
    unknown = "the new model is itself retrained, so that it learns them anew" if _retrained(record) else UNKNOWN
    text = f"{_after(attacked)} accuracy on the forgotten examples returns from {before:.2f} to {after:.2f}{beside}; {unknown}.{there}"
    return Sentence(code="comes_back", text=text)


def _after(attacked: Attacked) -> str:
    """Return after what an accuracy was read, as the beginning of a sentence."""
    if attacked.kind == "relearn":
        return f"After {attacked.dose:g} updates{_with(attacked)}"
    return f"Under {attacked.attack} ({attacked.dose_name} {attacked.dose:g}){_with(attacked)}"


def _with(attacked: Attacked) -> str:
    """Return what the attacker holds."""
    if attacked.share:
        return f" with {100 * attacked.share:g} % of the forgotten examples in the attacker's hands"
    return " on retained data alone" if attacked.kind == "relearn" else ""


def _membership(record: DeletionRecord) -> Sentence:
    loss = {name: (outcomes or {}).get("loss") for name, outcomes in record.membership.items()}
    new = loss.get(UNLEARNED)
    if new is None:
        text = "Membership inference was not possible: there are too few examples, or no test examples of their classes, or the model has diverged."
        return Sentence(code="no_membership", text=text)
    beside = ", ".join(
        f"{_auc(outcome)} {words}"
        for outcome, words in ((loss.get(ORIGINAL), "before"), (loss.get(ORACLE), "on a retrained model"))
        if outcome is not None
    )
    said = f"By their loss, forgotten examples look more like training data than test examples do with a chance of {_auc(new)}"
    said += f" ({beside}; 0.50 is no difference)" if beside else " (0.50 is no difference)"
    if new.low > CHANCE:
        return Sentence(code="members", text=f"{said}: they can still be told apart.")
    if new.high < CHANCE:
        return Sentence(code="stand_out", text=f"{said}: they stand out as forgotten.")
    return Sentence(code="not_told_apart", text=f"{said}: {new.members} examples show no difference.")


def _price(record: DeletionRecord) -> Iterator[Sentence]:
    before, after = record.accuracies[ORIGINAL], record.accuracies[UNLEARNED]
    if None in (*before.values(), *after.values()):
        return
    retained, test = (f"from {before[which]:.2f} to {after[which]:.2f}" for which in ("RA", "TA"))
    yield Sentence(code="price", text=f"Accuracy on retained examples went {retained}, on test examples {test}.")


def _examples(record: DeletionRecord) -> str:
    count = record.asked.forget.examples
    return f"the {count} examples" if count > 1 else "the one example"


def _retrained(record: DeletionRecord) -> bool:
    return record.method.kind == "retrain"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _shown(value: float | None) -> str:
    return "none, since it has diverged" if value is None else f"{value:.2f}"


def _auc(outcome: Outcome) -> str:
    return f"{outcome.auc:.2f} [{outcome.low:.2f}, {outcome.high:.2f}]"
