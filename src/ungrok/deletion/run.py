"""Deleting examples from a model in one call, with a record."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ungrok.api import audit
from ungrok.audits.base import StressTest
from ungrok.audits.report import StressReport
from ungrok.core.errors import RecipeError, shown_file
from ungrok.core.files import save_tensors
from ungrok.core.machine import commit, processor, versions
from ungrok.core.modules import bare
from ungrok.core.objective import Batches, Objective
from ungrok.core.schema import Schema
from ungrok.deletion.hashes import seal_of
from ungrok.deletion.inputs import EXTRA, Inputs, checked, checksums, device_name, files_of
from ungrok.deletion.record import (
    REWOUND,
    UNLEARNED,
    Asked,
    Attacked,
    Certified,
    DeletionRecord,
    MadeWith,
    Named,
    Place,
    write_record,
)
from ungrok.deletion.remains import sentences
from ungrok.deletion.rewinding import Rewinding
from ungrok.evaluate.audit import Audit
from ungrok.methods.base import Unlearner
from ungrok.methods.run import make_method, unlearn, unlearning_path

PACKAGES = ("ungrok", "torch", "numpy", "scipy", "scikit-learn", "safetensors", "transformers")
"""Packages whose versions are recorded."""


@dataclass(frozen=True)
class Deletion:
    """A model from which examples were deleted, and the record.

    Args:
        model: The new model, in the modes of the one handed in.
        record: What was asked, done and measured; ``print`` shows it.

    """

    model: nn.Module
    record: DeletionRecord

    def __str__(self) -> str:
        return str(self.record)


def delete(
    model: nn.Module,
    *,
    forget: Batches,
    retain: Batches,
    test: Batches,
    method: str | Unlearner,
    record: str | Path | None = None,
    out: str | Path | None = None,
    source: str | Path | None = None,
    oracle: nn.Module | None = None,
    attacks: Iterable[str | StressTest] | None = None,
    objective: Objective | None = None,
    tokenizer: Any = None,
    key: bytes | str | None = None,
    seed: int = 0,
    **settings: Any,
) -> Deletion:
    """Unlearn examples, audit and attack the new model, and keep a record of all of it.

    The new model is that of :func:`ungrok.unlearn`, the numbers are those of :func:`ungrok.audit`, with the same arguments.

    Args:
        model: The original; not changed.
        forget: Batches to delete. Each of these three sets is read several times.
        retain: Batches to keep.
        test: Batches that no model was trained on, of the same kind as those to delete.
        method: A configured method, or its name with its settings beside it.
        record: File to write the record to; written nowhere when None.
        out: Where the new model is written: a ``.safetensors`` file, or a folder for a model of transformers.
        source: File or folder that the original was read from; its checksums go into the record.
        oracle: A model retrained without ``forget``, the null of all numbers. Without one the record says what cannot be known.
        attacks: As :func:`ungrok.attack` takes them; its defaults when None, none when empty.
        objective: How a batch becomes logits and losses; recognized when None.
        tokenizer: That of a language model; gives one more membership attack, and is saved with a folder.
        key: Secret under which examples are hashed; the checksum of the original when None, which hides nothing from who can
            guess an example.
        seed: The only source of randomness.
        **settings: ``validation``, ``factory``, ``base`` and ``rewound``, as :func:`ungrok.unlearn` takes them; beside the name of a method
            its hyper-parameters.

    Raises:
        RecipeError: If something is not usable, or an example stands in ``forget`` and in ``retain``, by its content; before any work
            where that can be known.
        NotApplicable: If the method or an attack does not apply.

    """
    extra = {name: settings.pop(name) for name in EXTRA if name in settings}
    inputs = checked(
        model, forget=forget, retain=retain, test=test, oracle=oracle, objective=objective, tokenizer=tokenizer, key=key,
        source=source, seed=seed, **extra,
    )  # fmt: skip
    made, tests = make_method(method, settings), inputs.tests(attacks)
    check_target(record, "record")
    _check_out(out, model)
    return kept(inputs, made, tests, record=record, out=out)


def kept(
    inputs: Inputs,
    method: Unlearner,
    tests: list[StressTest],
    *,
    record: str | Path | None,
    out: str | Path | None,
    place: Place | None = None,
) -> Deletion:
    """Return the new model with its sealed record, and write both where they are to go; the arguments are those of :func:`delete`."""
    deletion = deleted(inputs, method, tests, inputs.asked())
    if out is not None:
        deletion = saved(deletion, Path(out), inputs.tokenizer)
    placed = deletion.record.model_copy(update={"place": place})
    sealed = placed.model_copy(update={"seal": seal_of(placed.to_dict(), inputs.key_of_hashes())})
    if record is not None:
        write_record(Path(record), sealed)
    return Deletion(deletion.model, sealed)


def deleted(inputs: Inputs, method: Unlearner, tests: list[StressTest], asked: Asked) -> Deletion:
    """Return the new model with its record, which knows of no file of it and has no seal."""
    model, original, extra, models = inputs.model, bare(inputs.model), dict(inputs.extra), inputs.weights()
    if extra.get("rewound") is not None:
        extra["rewound"] = Rewinding(extra["rewound"])
    given: dict[str, Any] = {
        "forget": inputs.sets["forget"], "retain": inputs.sets["retain"], "method": method, "objective": inputs.objective,
        "seed": inputs.seed, **extra,
    }  # fmt: skip
    new = unlearn(model, **given)
    if isinstance(way := extra.get("rewound"), Rewinding) and way.earliest is not None:
        models[REWOUND] = way.earliest
    audited = audit(
        original, bare(new), **cast(dict[str, Any], inputs.sets), oracle=inputs.oracle, objective=inputs.objective, tokenizer=inputs.tokenizer,
        attacks=tests, seed=inputs.seed,
    )  # fmt: skip
    record = DeletionRecord(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        asked=asked,
        method=named(method),
        attacks=[named(test) for test in tests],
        objective=inputs.named_objective(),
        certified=_certified(model, method, given),
        tokenizer=inputs.vocabulary(),
        seed=inputs.seed,
        made_with=made_with(model),
        models=models | {UNLEARNED: checksums(new)},
        **_measured(audited),
        remains=[],
    )
    return Deletion(new, record.model_copy(update={"remains": sentences(record)}))


def _certified(model: nn.Module, method: Unlearner, given: dict[str, Any]) -> Certified | None:
    """Return what a method certifies at the end of a path with these inputs; None for one that certifies nothing."""
    if method.promise(1) is None:
        return None
    updates = int(unlearning_path(model, **given).budget)
    promise = method.promise(updates)
    return None if promise is None else Certified(updates=updates, **vars(promise))


def made_with(model: nn.Module) -> MadeWith:
    """Return versions and hardware, as they are now."""
    device, gpu = device_name(model)
    return MadeWith(
        versions=versions(PACKAGES),
        commit=commit(),
        platform=platform.platform(),
        processor=processor(),
        device=device,
        gpu=gpu,
        threads=torch.get_num_threads(),
    )


def named(block: Schema) -> Named:
    """Return a method or an attack as a record has it."""
    content = block.to_dict()
    return Named(kind=content.pop("kind"), settings=content)


def _measured(audited: Audit) -> dict[str, Any]:
    """Return what a record keeps of an audit: nothing by class, since a class may tell what an example was."""
    values = _finite(audited.to_dict())
    kept = ("accuracies", "memorization", "distances", "membership")
    stress = strongest(cast(StressReport, audited.stress)) if audited.stress else []
    return {name: values[name] for name in kept} | {"stress": stress}


def strongest(report: StressReport) -> list[Attacked]:
    """Return, for each attack and each share of the forget set, the place at which most comes back.

    That is where the gap to the oracle is largest, or without one UA of the unlearned model.
    """
    groups: dict[tuple[str, float | None], list[dict[str, Any]]] = {}
    for row in report.rows:
        groups.setdefault((row["attack"], row["share"]), []).append(row)
    return [_strongest(rows) for rows in groups.values()]


def _strongest(rows: list[dict[str, Any]]) -> Attacked:
    report = StressReport(rows)
    (place,) = report.strongest.values()
    where = ("setting", "dose", "updates")
    there = [row for row in rows if all(row[name] == place[name] for name in where)]
    before = next(row for row in rows if row["subject"] == UNLEARNED and row["setting"] == place["setting"])
    known = {name: rows[0][name] for name in ("attack", "kind", "counts", "share", "dose_name")}
    accuracies = {which: {row["subject"]: row[which] for row in there} for which in ("UA", "RA", "TA")}
    at = {"setting": place["setting"], "dose": place["dose"], "before": before["UA"], "gap": place["gap"]}
    return Attacked.model_validate(known | accuracies | at)


def _finite(value: Any) -> Any:
    """Return plain values with None in the place of what is no finite number."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_target(path: str | Path | None, argument: str) -> None:
    """Raise RecipeError if a file cannot be written because it is a folder, or its own folder is not there."""
    if path is not None and (Path(path).is_dir() or not Path(path).absolute().parent.is_dir()):
        raise RecipeError(
            f"{argument}: {shown_file(path)} cannot be written: it is a folder, or its folder is not there"
        )


def _check_out(out: str | Path | None, model: nn.Module) -> None:
    if out is None:
        return
    if Path(out).suffix == ".safetensors":
        check_target(out, "out")
    elif not hasattr(bare(model), "save_pretrained") or Path(out).is_file():
        raise RecipeError(
            f"out: {shown_file(out)} is not allowed; allowed: a file *.safetensors, or a folder for a model of transformers"
        )


def saved(deletion: Deletion, out: Path, tokenizer: Any = None) -> Deletion:
    """Write the new model, and return the deletion with a record of what was written.

    Args:
        deletion: The deletion.
        out: A ``.safetensors`` file for the state dict, or a folder for a model of transformers.
        tokenizer: Written beside it into the folder, where there is one.

    """
    write_model(deletion.model, out, tokenizer)
    weights = deletion.record.models[UNLEARNED]
    new = weights.model_copy(update={"path": str(out), "files": files_of(out, "out")})
    record = deletion.record.model_copy(update={"models": deletion.record.models | {UNLEARNED: new}})
    return Deletion(deletion.model, record)


def write_model(model: nn.Module, out: Path, tokenizer: Any = None) -> None:
    """Write a model as a ``.safetensors`` file, or a model of transformers as a folder, its tokenizer beside it."""
    whole: Any = bare(model)
    if out.suffix == ".safetensors":
        save_tensors(out, dict(whole.state_dict()))
        return
    whole.save_pretrained(out)
    if tokenizer is not None:
        tokenizer.save_pretrained(out)
