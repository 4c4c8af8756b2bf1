"""Shadow models: which examples each one holds, and the logits of all of them at one stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from numpy.typing import NDArray

from ungrok.audits.signals import correctness, margins
from ungrok.core.errors import RecipeError, listed, unknown
from ungrok.core.files import load_tensors, read_json, save_packed, write_json
from ungrok.core.seeds import generator

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Halves = NDArray[np.float16]
Indices = NDArray[np.int64]


def holds(shadow: int, sets: int, seed: int) -> list[bool]:
    """Return which forget sets a shadow model holds, each whole or not at all.

    Of shadows 2k and 2k + 1 exactly one holds a set, so that half of all do; which one it is, is drawn for each set.

    Args:
        shadow: Counted from 0.
        sets: Number of forget sets.
        seed: Of all shadows.

    """
    pair, second = divmod(shadow, 2)
    drawn = torch.randint(2, (sets,), generator=generator(seed, "blocks", pair))
    return [bool(bit) != bool(second) for bit in drawn.tolist()]


def held_by(shadow: int, pool: int, size: int, sets: Sequence[Indices], barred: Indices, seed: int) -> Indices:
    """Return the examples of a pool that a shadow model is trained on.

    The forget sets are in or out whole (:func:`holds`); all others are drawn one by one. Shadows 2k and 2k + 1 share as few of them as can be.

    Args:
        shadow: Counted from 0.
        pool: Number of examples in the pool.
        size: Number of examples that every shadow holds.
        sets: Examples of each forget set; none stands in two.
        barred: Examples that no shadow holds.
        seed: Of all shadows.

    Returns:
        int64, increasing, shape (size,).

    Raises:
        RecipeError: If the pool has too few examples outside the forget sets.

    """
    single = np.ones(pool, dtype=bool)
    for part in (*sets, barred):
        single[part] = False
    inside = [part for part, held in zip(sets, holds(shadow, len(sets), seed), strict=True) if held]
    others, wanted = np.flatnonzero(single), size - sum(map(len, inside))
    if not 0 <= wanted <= len(others):
        raise RecipeError(
            f"audit.forget: forget sets of {sum(map(len, sets))} of {size} training examples leave {len(others)} of the pool of {pool} "
            f"to draw {wanted} from; forget less, or fewer sets"
        )
    pair, second = divmod(shadow, 2)
    order = others[torch.randperm(len(others), generator=generator(seed, "singles", pair)).numpy()]
    drawn = order[len(order) - wanted :] if second else order[:wanted]
    return np.sort(np.concatenate([drawn, *inside]).astype(np.int64))


@dataclass(frozen=True)
class Unlearned:
    """Models of one method that unlearned one forget set.

    Args:
        numbers: The shadows that they were, int64, increasing.
        logits: float16, shape (models, examples, classes).
        test: The same of test examples.

    """

    numbers: Indices
    logits: Halves
    test: Halves


@dataclass(frozen=True)
class Shadows:
    """The logits of all shadow models at one stage.

    Args:
        stage: Its name.
        trained: Number of shadows that were trained; those that never reached the stage are in no array.
        numbers: Which shadows the rows are, int64, increasing, shape (models,).
        held: What each was trained on, bool, shape (models, examples).
        logits: float16, shape (models, examples, classes); examples are those of the pool.
        test: float16, shape (models, test examples, classes).
        targets: True classes of the pool, int64.
        test_targets: Those of the test examples.
        forget: Examples of each forget set, int64, by label.
        unlearned: By label of the forget set, then of the method.

    """

    stage: str
    trained: int
    numbers: Indices
    held: Bools
    logits: Halves
    test: Halves
    targets: Indices
    test_targets: Indices
    forget: Mapping[str, Indices]
    unlearned: Mapping[str, Mapping[str, Unlearned]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Share of shadows that reached the stage."""
        return len(self.numbers) / self.trained

    def holding(self, forget: str) -> Bools:
        """Return which of the models held a forget set, bool, shape (models,); all others never saw any of it.

        Raises:
            RecipeError: If there is no such set.

        """
        if forget not in self.forget:
            raise unknown("forget", forget, self.forget)
        return np.asarray(self.held[:, self.forget[forget]].all(axis=1))

    def original(self, forget: str, *, test: bool = False) -> Floats:
        """Return the margins, on a forget set, of the models that held it and have unlearned nothing.

        Args:
            forget: Label of the set.
            test: Whether those on all test examples stand behind them.

        Returns:
            float64, shape (models, examples) or (models, examples + test examples).

        """
        inside = self.holding(forget)
        return self._margins(self.logits[inside], self.test[inside], forget, test)

    def never(self, forget: str, *, test: bool = False) -> Floats:
        """Return those of the models that never saw it."""
        outside = ~self.holding(forget)
        return self._margins(self.logits[outside], self.test[outside], forget, test)

    def after(self, forget: str, method: str, *, test: bool = False) -> Floats:
        """Return those of the models that unlearned it.

        Raises:
            RecipeError: If there are none.

        """
        self.holding(forget)
        methods = self.unlearned.get(forget, {})
        if method not in methods:
            raise unknown("method", method, methods)
        return self._margins(methods[method].logits, methods[method].test, forget, test)

    def down(self, forget: str, method: str) -> Bools | None:
        """Return which models that unlearned a set are right about no more of it than models that never saw it are on average, bool, shape (models,).

        None where no model never saw it.
        """
        chosen, never = self.forget[forget], ~self.holding(forget)
        if not never.any():
            return None
        targets, own = self.targets[chosen], self.unlearned[forget][method].logits[:, chosen]
        level = correctness(self.logits[never][:, chosen], targets).mean()
        return np.asarray(correctness(own, targets).mean(axis=1) <= level + 1e-9)

    def _margins(self, logits: Halves, test: Halves, forget: str, behind: bool) -> Floats:
        chosen = self.forget[forget]
        parts = [(logits[:, chosen], self.targets[chosen])] + ([(test, self.test_targets)] if behind else [])
        if len(logits) == 0:
            return np.zeros((0, sum(len(targets) for _, targets in parts)))
        return np.concatenate([margins(*part) for part in parts], axis=1)


def save_shadows(folder: Path, every: Sequence[Shadows]) -> None:
    """Write the logits of several stages into a folder, one file each, and what they are beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    described = []
    for stage in every:
        arrays = {
            name: getattr(stage, name) for name in ("numbers", "held", "logits", "test", "targets", "test_targets")
        }
        arrays |= {f"forget.{place}": chosen for place, chosen in enumerate(stage.forget.values())}
        models = [(forget, method) for forget, methods in stage.unlearned.items() for method in methods]
        for place, (forget, method) in enumerate(models):
            own = stage.unlearned[forget][method]
            arrays |= {f"unlearned.{place}.{name}": getattr(own, name) for name in ("numbers", "logits", "test")}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        save_packed(folder / _file(stage.stage), tensors)
        described.append(
            {"stage": stage.stage, "trained": stage.trained, "forget": [*stage.forget], "unlearned": models}
        )
    write_json(folder / "shadows.json", described)


def _file(stage: str) -> str:
    """Return the name of the file of a stage, whatever characters the stage's own name has."""
    return f"{quote(stage, safe='')}.safetensors"


def load_shadows(folder: str | Path, stage: str | None = None) -> Shadows:
    """Return the logits of a stage that a study with an ``audit`` has written.

    Args:
        folder: That of the study (``--out``), or ``shadows`` in it.
        stage: Its name; may be left out where there is one only.

    Raises:
        RecipeError: If the folder holds none, or the stage is not among them.
        DamagedFile: If a file cannot be read.

    """
    path = Path(folder)
    path = path / "shadows" if (path / "shadows" / "shadows.json").is_file() else path
    if not (path / "shadows.json").is_file():
        raise RecipeError(f"shadows: {folder} holds no shadow models; `ungrok audit RECIPE --out {folder}` makes some")
    by_stage = {entry["stage"]: entry for entry in read_json(path / "shadows.json")}
    if stage is None and len(by_stage) > 1:
        raise RecipeError(f"stage: there are several; name one of {listed(by_stage)}")
    chosen = stage if stage is not None else next(iter(by_stage))
    if chosen not in by_stage:
        raise unknown("stage", chosen, by_stage)
    entry = by_stage[chosen]
    arrays = {name: tensor.numpy() for name, tensor in load_tensors(path / _file(chosen)).items()}
    unlearned: dict[str, dict[str, Unlearned]] = {}
    for place, (forget, method) in enumerate(entry["unlearned"]):
        parts = (arrays[f"unlearned.{place}.{name}"] for name in ("numbers", "logits", "test"))
        unlearned.setdefault(forget, {})[method] = Unlearned(*parts)
    return Shadows(
        stage=chosen,
        trained=entry["trained"],
        numbers=arrays["numbers"],
        held=arrays["held"],
        logits=arrays["logits"],
        test=arrays["test"],
        targets=arrays["targets"],
        test_targets=arrays["test_targets"],
        forget={label: arrays[f"forget.{place}"] for place, label in enumerate(entry["forget"])},
        unlearned=unlearned,
    )
