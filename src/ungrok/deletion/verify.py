"""Running a recorded deletion again, and comparing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ungrok.audits.base import STRESS_TESTS
from ungrok.core.errors import RecipeError, shown, spoken
from ungrok.core.files import load_tensors
from ungrok.core.objective import Batches, Objective
from ungrok.core.weights import content_of
from ungrok.deletion.compare import TOLERANCE, Difference, Same, differences, equal, near
from ungrok.deletion.hashes import seal_of
from ungrok.deletion.inputs import Inputs, checked, files_of
from ungrok.deletion.record import BASE, FRESH, ORACLE, ORIGINAL, UNLEARNED, DeletionRecord, Involved, read_record
from ungrok.deletion.remains import sentences
from ungrok.deletion.run import deleted, made_with
from ungrok.methods.run import make_method


@dataclass(frozen=True)
class Verification:
    """What came of running a deletion again.

    Args:
        checked: ``bytes`` where the machine and the versions are those of the record: the new model and all that the record says must
            be the same. ``tolerance`` elsewhere: what was measured must be near, all else the same. ``inputs`` where nothing was run,
            since what the deletion starts from is not what the record says.
        differences: All that is not as it must be.
        tolerance: What ``near`` means; see :func:`ungrok.deletion.compare.near`.
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
            "bytes": "run again on the same kind of machine with the same versions; checked: the bytes of the new model, and every number, word and hash",
            "tolerance": f"run again; checked: accuracies, AUCs and other shares within {self.tolerance:g}, so that {_answers(self.tolerance)}; "
            f"distances within {100 * self.tolerance:g} %; every other number, code and hash exactly",
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
        tolerance: By how much accuracies, AUCs and other shares may differ where versions or the machine are others, and distances
            relative to themselves; at least 0 and less than 1.
        **extra: ``validation``, ``factory``, ``base`` and ``rewound``; the same.

    Returns:
        What was checked, and what differs; ``passed`` says whether nothing does.

    Raises:
        RecipeError: If the record is none, or something is missing that the deletion needs.

    """
    if not 0 <= tolerance < 1:
        raise RecipeError(f"tolerance: {shown(tolerance)} is not allowed; allowed: at least 0 and less than 1")
    recorded = record if isinstance(record, DeletionRecord) else read_record(Path(record))
    place = source or _there(recorded.models[ORIGINAL].path)
    inputs = checked(
        model, forget=forget, retain=retain, test=test, oracle=oracle, objective=objective, tokenizer=tokenizer, key=key,
        source=place, seed=recorded.seed, **extra,
    )  # fmt: skip
    _check_given(recorded, inputs)
    return _again(recorded, inputs, tolerance)


def _again(recorded: DeletionRecord, inputs: Inputs, tolerance: float) -> Verification:
    """Run a deletion again and compare; see :func:`verify`."""
    method = make_method(recorded.method.kind, recorded.method.settings)
    tests = [STRESS_TESTS.get(attack.kind)(**attack.settings) for attack in recorded.attacks]
    reasons = _elsewhere(recorded, inputs.model)
    same = near(tolerance) if reasons else equal
    asked = inputs.asked(recorded.models[ORIGINAL].weights)
    outside, notes = [*_outside(recorded, inputs), *_files(recorded, inputs)], _unchecked(recorded, inputs)
    if wrong := _starting(recorded.to_dict(), inputs, asked.to_dict(), same):
        return Verification("inputs", [*wrong, *outside], tolerance, notes=notes)
    again = deleted(inputs, method, tests, asked).record
    compared = differences(recorded.to_dict(), again.to_dict(), same)
    once = {each.what: each for each in (*outside, *compared)}
    return Verification("tolerance" if reasons else "bytes", [*once.values()], tolerance, reasons, notes)


def _answers(tolerance: float) -> str:
    """Return what a tolerance means for single answers."""
    if not tolerance:
        return "no answer may differ"
    return f"no answer may differ among fewer than {ceil(1 / tolerance - 1e-9)}"


def _check_given(record: DeletionRecord, inputs: Inputs) -> None:
    """Raise RecipeError where something is given that the recorded deletion had not, or the other way round."""
    recorded = {
        "key": record.asked.keyed,
        "oracle": ORACLE in record.models,
        "tokenizer": record.tokenizer is not None,
        "validation": record.asked.validation is not None,
        "factory": FRESH in record.models,
        "base": BASE in record.models,
    }
    given = {name: getattr(inputs, name) if hasattr(inputs, name) else inputs.extra.get(name) for name in recorded}
    for name, had in recorded.items():
        if had and given[name] is None:
            raise RecipeError(f"{name}: the recorded deletion had one; give the same")
        if given[name] is not None and not had:
            raise RecipeError(f"{name}: the recorded deletion had none; leave it out")


def _elsewhere(record: DeletionRecord, model: nn.Module) -> list[str]:
    """Return why the bytes need not be those of the record."""
    now = made_with(model)
    reasons = [f"{each.what} differs" for each in differences(record.made_with.to_dict(), now.to_dict(), equal)]
    return [*reasons, "sums on a graphics processor may differ from run to run"] if now.device != "cpu" else reasons


def _starting(record: dict[str, Any], inputs: Inputs, asked: dict[str, Any], same: Same) -> list[Difference]:
    """Return what differs in the examples, models and objective that the deletion starts from."""
    apart = []
    for role in asked:
        old, new = record["asked"][role], asked[role]
        apart += _examples(role, old, new) or differences(old, new, same, f"asked.{role}")
    models = {name: weights.to_dict() for name, weights in inputs.weights().items()}
    for name, value in {"objective": inputs.named_objective().to_dict(), "tokenizer": inputs.vocabulary()}.items():
        apart += differences(record[name], value, same, name)
    for name, value in models.items():
        apart += differences(record["models"][name], value, same, f"models.{name}")
    return apart


def _examples(role: str, recorded: Any, now: Any) -> list[Difference]:
    """Return that a set holds other examples than those that were recorded, and how many of those to forget are others."""
    if not isinstance(recorded, dict) or all(recorded[name] == now[name] for name in ("sha256", "examples")):
        return []
    words = [f"{side['examples']} examples, SHA-256 {side['sha256'][:12]}…" for side in (recorded, now)]
    others = (Counter(now["each"]) - Counter(recorded["each"])).total() if now["each"] and recorded["each"] else 0
    if others:
        words = [
            f"{recorded['examples']} examples",
            f"{now['examples']} examples, {others} of which were not among them",
        ]
    return [Difference(f"asked.{role}", *words)]


def _there(path: str | None) -> Path | None:
    """Return a path where it leads to a file or folder that can be read to its end."""
    place = Path(path) if path is not None else None
    return place if place is not None and (place.is_file() or place.is_dir()) else None


def _places(record: DeletionRecord, inputs: Inputs) -> dict[Involved, Path | None]:
    """Return where the models of a record lie that have files: the original where the user says."""
    places = {name: _there(model.path) for name, model in record.models.items() if model.path is not None}
    return places | ({ORIGINAL: inputs.source} if record.models[ORIGINAL].files else {})


def _unchecked(record: DeletionRecord, inputs: Inputs) -> list[str]:
    """Return a sentence for each model whose files are not at the recorded place."""
    lost = [record.models[name].path for name, place in _places(record, inputs).items() if place is None]
    return [f"{path}: not there, so the checksums of its files were not compared." for path in lost]


def _outside(record: DeletionRecord, inputs: Inputs) -> list[Difference]:
    """Return what differs within the record itself: its seal, and its sentences, which follow from its numbers."""
    content = record.to_dict()
    seal = seal_of(content, inputs.key_of_hashes(record.models[ORIGINAL].weights))
    follow = [sentence.to_dict() for sentence in sentences(record)]
    broken = [] if seal == record.seal else [Difference("seal", record.seal, seal)]
    return [*broken, *differences(content["remains"], follow, lambda _, a, b: a == b, "remains")]


def _files(record: DeletionRecord, inputs: Inputs) -> list[Difference]:
    """Return what differs in files of models, and in what the file of the new model holds."""
    apart = []
    for name, place in _places(record, inputs).items():
        model = record.models[name]
        if place is not None:
            now = _sums(place, model.files)
            apart += differences(model.files, now, lambda _, a, b: a == b, f"models.{name}.files")
            if name == UNLEARNED and now == model.files and place.suffix == ".safetensors":
                held = content_of(load_tensors(place)).hex()
                apart += differences(model.weights, held, equal, f"models.{name}.weights")
    return apart


def _sums(place: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return checksums of the files that a record names; others may have come later, and a single file may have been renamed."""
    try:
        sums = files_of(place, "out")
    except RecipeError:
        return {}
    if place.is_file() and len(wanted) == 1:
        return dict(zip(wanted, sums.values(), strict=True))
    return {name: value for name, value in sums.items() if name in wanted}
