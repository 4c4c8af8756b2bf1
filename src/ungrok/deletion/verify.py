"""Running a recorded deletion again, and comparing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ungrok.audits.base import STRESS_TESTS
from ungrok.core.errors import RecipeError, UngrokError, clipped, spoken
from ungrok.core.objective import Batches, Objective
from ungrok.deletion.inputs import ROLES, Inputs, checked, files_of
from ungrok.deletion.record import ORACLE, ORIGINAL, UNLEARNED, Asked, DeletionRecord, read_record
from ungrok.deletion.remains import sentences
from ungrok.deletion.run import deleted
from ungrok.methods.run import make_method

TOLERANCE = 0.05
"""By how much an accuracy or an AUC may differ on another machine, where that is not less than one example."""

MEASURED = ("accuracies", "memorization", "distances", "membership", "stress")
"""Fields of a record that must be equal where the bytes of the model are."""


@dataclass(frozen=True)
class Difference:
    """Something that is not as a record says.

    Args:
        what: The field of the record, with dots.
        recorded: What the record says.
        now: What it is.

    """

    what: str
    recorded: Any
    now: Any

    def __str__(self) -> str:
        recorded, now = (clipped(str(value), 80) for value in (self.recorded, self.now))
        return f"{self.what}: recorded {recorded}, now {now}"


@dataclass(frozen=True)
class Verification:
    """What came of running a deletion again.

    Args:
        checked: ``bytes`` where the machine and the versions are those of the record: the new model and all numbers must be the same.
            ``tolerance`` elsewhere: accuracies and AUCs must be near. ``inputs`` where nothing was run, since what the deletion starts
            from is not what the record says.
        differences: All that is not as it must be.
        tolerance: What ``near`` means.
        reasons: Why only the tolerance was checked.
        notes: What could not be checked.

    """

    checked: Literal["bytes", "tolerance", "inputs"]
    differences: list[Difference]
    tolerance: float = TOLERANCE
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def __str__(self) -> str:
        what = {
            "bytes": "run again on the same kind of machine with the same versions; checked: the bytes of the new model, and every number",
            "tolerance": f"run again; checked: accuracies and AUCs within {self.tolerance:g}, or one example where that is more",
            "inputs": "not run again, since what it starts from is not what the record says",
        }[self.checked]
        head = f"{'Verified' if self.passed else 'Not verified'}: {what}."
        why = [f"The bytes were not compared, since {spoken(self.reasons)}."] if self.reasons else []
        return "\n".join([head, *why, *map(str, self.differences), *self.notes])


def verify(
    record: DeletionRecord | str | Path,
    model: nn.Module,
    *,
    forget: Batches,
    retain: Batches,
    test: Batches,
    oracle: nn.Module | None = None,
    objective: Objective | None = None,
    tokenizer: Any = None,
    key: bytes | str | None = None,
    source: str | Path | None = None,
    tolerance: float = TOLERANCE,
    **extra: Any,
) -> Verification:
    """Run a deletion again as its record says, and compare.

    Method, settings, attacks and seed are those of the record; all else must be given as it was to :func:`ungrok.delete`.

    Args:
        record: The record, or its file.
        model: The original; not changed.
        forget: As in the call that made the record.
        retain: The same.
        test: The same.
        oracle: The same; given where the record has one.
        objective: The same.
        tokenizer: The same.
        key: The same; given where the record says that there was one.
        source: File or folder of the original, where it is no longer at the recorded place.
        tolerance: By how much accuracies and AUCs may differ where versions or the machine are others.
        **extra: ``validation``, ``factory``, ``base`` and ``rewound``; the same.

    Returns:
        What was checked, and what differs; ``passed`` says whether nothing does.

    Raises:
        RecipeError: If the record is none, or something is missing that the deletion needs.

    """
    recorded = record if isinstance(record, DeletionRecord) else read_record(Path(record))
    place = source or _there(recorded.models[ORIGINAL].path)
    inputs = checked(
        model, forget=forget, retain=retain, test=test, oracle=oracle, objective=objective, tokenizer=tokenizer, key=key,
        source=place, seed=recorded.seed, **extra,
    )  # fmt: skip
    _check_given("key", recorded.asked.keyed, inputs.key)
    _check_given("oracle", ORACLE in recorded.models, inputs.oracle)
    method = make_method(recorded.method.kind, recorded.method.settings)
    tests = [STRESS_TESTS.get(attack.kind)(**attack.settings) for attack in recorded.attacks]
    asked = inputs.asked(recorded.models[ORIGINAL].weights)
    differences, notes = _outside(recorded), _unchecked(recorded)
    if wrong := [*_asked(recorded.asked, asked), *_starting(recorded, inputs)]:
        return Verification("inputs", [*wrong, *differences], tolerance, notes=notes)
    again = deleted(inputs, method, tests, asked).record
    reasons = [f"{each.what} differs" for each in _of("", recorded.made_with.to_dict(), again.made_with.to_dict())]
    if again.made_with.device != "cpu":
        reasons.append("sums on a graphics processor may differ from run to run")
    compared = _near(recorded, again, tolerance) if reasons else _equal(recorded, again)
    return Verification("tolerance" if reasons else "bytes", [*compared, *differences], tolerance, reasons, notes)


def _check_given(name: str, recorded: bool, given: object) -> None:
    if recorded and given is None:
        raise RecipeError(f"{name}: the recorded deletion had one; give the same")
    if given is not None and not recorded:
        raise RecipeError(f"{name}: the recorded deletion had none; leave it out")


def _there(path: str | None) -> Path | None:
    return Path(path) if path is not None and Path(path).exists() else None


def _unchecked(record: DeletionRecord) -> list[str]:
    """Return a sentence for each model whose files are not at the recorded place."""
    lost = [model.path for model in record.models.values() if model.path is not None and not Path(model.path).exists()]
    return [f"{path}: not there, so the checksums of its files were not compared." for path in lost]


def _asked(recorded: Asked, now: Asked) -> list[Difference]:
    """Return which sets hold other examples than those that were recorded, and how many of those to forget are others."""
    differences = []
    for role in ROLES:
        old, new = getattr(recorded, role), getattr(now, role)
        if old.sha256 == new.sha256 and old.examples == new.examples:
            continue
        words = [f"{side.examples} examples, SHA-256 {side.sha256[:12]}…" for side in (old, new)]
        if role == "forget":
            others = (Counter(new.each) - Counter(old.each)).total()
            words = [f"{old.examples} examples", f"{new.examples} examples, {others} of which were not among them"]
        differences.append(Difference(f"asked.{role}", *words))
    return differences


def _outside(record: DeletionRecord) -> list[Difference]:
    """Return what differs in files of the new model, and in sentences, which follow from the recorded numbers."""
    new = record.models[UNLEARNED]
    place = _there(new.path)
    files = _of(f"models.{UNLEARNED}.files", new.files, _sums(place, new.files)) if place else []
    said, follows = ([s.to_dict() for s in side] for side in (record.remains, sentences(record)))
    return [*files, *_of("remains", said, follows)]


def _sums(place: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return checksums of the files that a record names; others may have come later."""
    try:
        sums = files_of(place, "out")
    except UngrokError:
        return {}
    return {name: value for name, value in sums.items() if name in wanted}


def _starting(record: DeletionRecord, inputs: Inputs) -> list[Difference]:
    """Return what differs in the models that the deletion starts from, and in files of the original."""
    now = inputs.weights
    differences = _of("objective", record.objective.to_dict(), inputs.named_objective().to_dict())
    for name in now:
        differences += _of(f"models.{name}", {"weights": record.models[name].weights}, {"weights": now[name].weights})
    files = record.models[ORIGINAL].files
    if inputs.source and files:
        differences += _of(f"models.{ORIGINAL}.files", files, _sums(inputs.source, files))
    return differences


def _equal(recorded: DeletionRecord, again: DeletionRecord) -> list[Difference]:
    old, new = (record.to_dict() for record in (recorded, again))
    weights = [{"weights": side["models"][UNLEARNED]["weights"]} for side in (old, new)]
    return [
        *_of(f"models.{UNLEARNED}", *weights),
        *(one for name in MEASURED for one in _of(name, old[name], new[name])),
    ]


def _near(recorded: DeletionRecord, again: DeletionRecord, tolerance: float) -> list[Difference]:
    """Return which accuracies and AUCs differ by more than the tolerance, and by more than one example."""
    old, new = (dict(_comparable(record)) for record in (recorded, again))
    sizes = {"UA": recorded.asked.forget, "RA": recorded.asked.retain, "TA": recorded.asked.test}
    far = []
    for what in old.keys() | new.keys():
        ours, theirs = old.get(what), new.get(what)
        one = sizes.get(next((part for part in what.split(".") if part in sizes), "UA"), recorded.asked.forget)
        allowed = max(tolerance, 1 / one.examples)
        if (ours is None) != (theirs is None) or (
            ours is not None and theirs is not None and abs(ours - theirs) > allowed
        ):
            far.append(Difference(what, ours, theirs))
    return sorted(far, key=lambda difference: difference.what)


def _comparable(record: DeletionRecord) -> Iterator[tuple[str, float | None]]:
    """Yield the accuracies and AUCs of a record by name."""
    for model, values in record.accuracies.items():
        for name, value in values.items():
            yield f"accuracies.{model}.{name}", value
    for model, outcomes in record.membership.items():
        for name, outcome in (outcomes or {}).items():
            yield f"membership.{model}.{name}.auc", outcome.auc
    for number, attacked in enumerate(record.stress):
        for subject, value in attacked.UA.items():
            yield f"stress.{number}.UA.{subject}", value


def _of(name: str, recorded: Any, now: Any) -> list[Difference]:
    """Return what differs between two values of plain types, the innermost place of each difference by name."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        keys = [*recorded, *(key for key in now if key not in recorded)]
        inner = ((key, recorded.get(key), now.get(key)) for key in keys)
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        inner = ((str(i), *pair) for i, pair in enumerate(zip(recorded, now, strict=True)))
    else:
        return [] if recorded == now else [Difference(name, recorded, now)]
    return [one for key, *pair in inner for one in _of(f"{name}.{key}".lstrip("."), *pair)]
