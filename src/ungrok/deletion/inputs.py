"""What a deletion starts from: the models and sets that a user gives, checked before any work, and what a record says of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ungrok.audits.base import StressTest
from ungrok.audits.beside import configured
from ungrok.audits.collected import collected
from ungrok.core.contents import Contents
from ungrok.core.entrance import (
    check_base,
    check_model,
    check_objective,
    check_seed,
    enter,
    entering,
    made_by,
    recognized,
    tensors_of,
)
from ungrok.core.errors import RecipeError, shown_file, unknown
from ungrok.core.files import checksum
from ungrok.core.modules import bare
from ungrok.core.objective import Batches, Objective
from ungrok.core.scores import device_of
from ungrok.core.seeds import seeded
from ungrok.core.sets import check_apart, check_batches
from ungrok.core.weights import content_of
from ungrok.deletion.hashes import hash_of_batches, hashes, joined, structure_of, vocabulary_of
from ungrok.deletion.record import BASE, FRESH, ORACLE, ORIGINAL, Asked, HashedSet, Involved, Named, Weights

ROLES = ("forget", "retain", "test")

EXTRA = ("validation", "factory", "base", "rewound")
"""What some methods need beside; see :func:`ungrok.unlearning_path`."""

PARTS = ("*.safetensors", "*.json")
"""Files of a folder that make a model."""


@dataclass(frozen=True)
class Inputs:
    """What a user gives, checked.

    Args:
        model: The original.
        sets: ``forget``, ``retain`` and ``test``; each can be read several times.
        objective: How a batch becomes logits and losses.
        oracle: A model retrained without ``forget``; None without one.
        extra: Some of :data:`EXTRA`.
        tokenizer: That of language models; may be None.
        seed: The only source of randomness.
        key: That of the user; None without one.
        source: File or folder of the original; None where it is not known.
        files: Checksums of the files there, by name.

    """

    model: nn.Module
    sets: dict[str, Batches]
    objective: Objective
    oracle: nn.Module | None
    extra: dict[str, Any]
    tokenizer: Any
    seed: int
    key: bytes | None
    source: Path | None
    files: dict[str, str]

    def weights(self) -> dict[Involved, Weights]:
        """Return the models that were given by checksums, that of the factory as it is with this seed.

        Raises:
            RecipeError: If the factory gives no model of its own, of the same shape.

        """
        original = checksums(self.model, path=str(self.source) if self.source else None, files=self.files)
        models: dict[Involved, Weights] = {ORIGINAL: original}
        if self.oracle is not None:
            models[ORACLE] = checksums(self.oracle)
        if self.extra.get("base") is not None:
            models[BASE] = checksums(self.extra["base"])
        if self.extra.get("factory") is not None:
            with seeded(self.seed):
                models[FRESH] = checksums(made_by(self.extra["factory"], bare(self.model)))
        return models

    def key_of_hashes(self, salt: str | None = None) -> bytes:
        """Return what the examples are hashed under.

        Args:
            salt: Taken where the user has no key; the checksum of the original's weights when None.

        """
        return self.key or (salt or weights_of(self.model)).encode()

    def asked(self, salt: str | None = None) -> Asked:
        """Read every set once, and return its hashes.

        Args:
            salt: As for :meth:`key_of_hashes`.

        Raises:
            RecipeError: If a set is empty, a batch cannot be taken, or an example stands in forget and in retain, by its content.

        """
        validation = self.extra.get("validation")
        sets = self.sets if validation is None else {**self.sets, "validation": validation}
        with seeded(self.seed):
            read = {role: [*batches] for role, batches in sets.items()}
            examples = collected(self.objective, bare(self.model), read)
        key, cpu = self.key_of_hashes(salt), torch.device("cpu")
        each = {role: hashes(part, key) for role, part in examples.items()}
        asked = {
            role: HashedSet(
                examples=len(ours),
                sha256=joined(ours),
                batches=hash_of_batches((self.objective.move(raw, cpu) for raw in read[role]), key),
                each=ours if role == "forget" else None,
            )
            for role, ours in each.items()
        }
        return Asked(keyed=self.key is not None, **asked)

    def check_contents(self) -> None:
        """Read the sets once, and raise RecipeError if an example stands in forget and in retain, by its content."""
        seen, cpu = Contents(), torch.device("cpu")
        with seeded(self.seed):
            for role in ("forget", "retain"):
                for raw in self.sets[role]:
                    with entering(role):
                        batch = self.objective.move(enter(self.objective, self.model, raw), cpu)
                        self.objective.check_form(batch)
                    seen.add(role, batch, self.objective.size(batch))
        seen.check()

    def vocabulary(self) -> str | None:
        """Return the hash of the tokenizer, None without one."""
        return None if self.tokenizer is None else vocabulary_of(self.tokenizer)

    def named_objective(self) -> Named:
        """Return the objective by name and settings."""
        told = {
            k: v for k, v in vars(self.objective).items() if isinstance(v, str | int | float | bool | Tensor | None)
        }
        plain = {k: content_of({k: v}).hex() if isinstance(v, Tensor) else v for k, v in told.items()}
        return Named(kind=type(self.objective).__name__, settings=plain)

    def tests(self, attacks: Iterable[str | StressTest] | None) -> list[StressTest]:
        """Return attacks ready to be made; those of :func:`ungrok.attack` when None."""
        if attacks is not None and not attacks:
            return []
        return configured(attacks, self.objective.family, self.oracle is not None)


def checked(
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
    seed: int = 0,
    **extra: Any,
) -> Inputs:
    """Return what a user gives, or refuse it before any work; see :func:`ungrok.deletion.run.delete`.

    Raises:
        RecipeError: If something is not usable.

    """
    for name in extra:
        if name not in EXTRA:
            raise unknown("argument", name, EXTRA)
    check_model("model", model)
    check_seed(seed)
    if oracle is not None:
        check_base(oracle, model, "oracle")
    sets = {"forget": forget, "retain": retain, "test": test}
    for role, batches in sets.items():
        if batches is None:
            raise RecipeError(f"{role}: is None; allowed: a DataLoader or a list of batches, for instance [(X, y)]")
        check_batches(role, batches)
    check_apart(sets)
    if objective is None:
        with seeded(seed):
            objective, _ = recognized(model, forget)
    check_objective(objective)
    path = None if source is None else Path(source)
    files = files_of(path, "source") if path else {}
    return Inputs(model, sets, objective, oracle, extra, tokenizer, seed, _as_key(key), path, files)


def _as_key(key: bytes | str | None) -> bytes | None:
    if key is None:
        return None
    if not isinstance(key, bytes | str) or not key:
        raise RecipeError("key: allowed: bytes or a text, not empty")
    return key.encode() if isinstance(key, str) else key


def weights_of(model: nn.Module) -> str:
    """Return the checksum of a model's weights and buffers, as :class:`~ungrok.deletion.record.Weights` has it."""
    return content_of(tensors_of(bare(model))).hex()


def checksums(model: nn.Module, **file: Any) -> Weights:
    """Return what a record holds of a model; ``file`` is its path and the checksums there."""
    return Weights(weights=weights_of(model), structure=structure_of(model), **file)


def files_of(path: Path, option: str) -> dict[str, str]:
    """Return the SHA-256 of a file, or of the safetensors and JSON files right in a folder, by name.

    Args:
        path: The file or folder.
        option: What messages call it.

    Raises:
        RecipeError: If there is nothing, or it cannot be read.

    """
    files = sorted(file for part in PARTS for file in path.glob(part)) if path.is_dir() else [path]
    try:
        sums = {file.name: checksum(file) for file in files}
    except OSError as error:
        raise RecipeError(f"{option}: {shown_file(path)} cannot be read ({error.strerror or error})") from None
    if not sums:
        raise RecipeError(f"{option}: {shown_file(path)} holds no safetensors file")
    return sums


def device_name(model: nn.Module) -> tuple[str, str | None]:
    """Return the type of a model's device, and the name of its graphics processor, None where it is on none."""
    device = device_of(model)
    return device.type, torch.cuda.get_device_name(device) if device.type == "cuda" else None
