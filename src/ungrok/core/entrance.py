"""The one way in which batches of a user's enter: brought into form, checked while a set is first read, errors naming the set."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable, RecipeError, UngrokError, first_line
from ungrok.core.forms import is_text
from ungrok.core.modules import accepted, bare, core, named
from ungrok.core.objective import Batch, Batches, Classification, Objective
from ungrok.core.scores import device_of
from ungrok.core.sets import check_disjoint

CAUSAL = ("ForCausalLM", "LMHeadModel")
"""How the names of transformers' causal language models end."""


@contextmanager
def entering(role: str, what: str = "the model does not take these batches") -> Iterator[None]:
    """Make what a user's model or data raise one sentence that begins with the name of the set.

    Args:
        role: The name of the set, or of another argument.
        what: What it means where the block raises.

    Raises:
        RecipeError: Instead of whatever the block raises, which is its cause.

    """
    try:
        yield
    except NotApplicable as error:
        raise NotApplicable(f"{role}: {error}") from None
    except UngrokError as error:
        raise RecipeError(f"{role}: {error}") from None
    except Exception as error:  # whatever a user's model raises
        raise RecipeError(f"{role}: {what} ({first_line(error)})") from error


def enter(objective: Objective, model: nn.Module, raw: Batch) -> Batch:
    """Return a batch in the objective's form, on the model's device, inputs by name being those that the model takes."""
    batch = objective.move(raw, device_of(model))
    if isinstance(batch, tuple) and isinstance(batch[0], Mapping):
        names = accepted(model)
        inputs = {name: value for name, value in batch[0].items() if names is None or name in names}
        if not inputs:
            raise RecipeError(
                f"the model takes none of {', '.join(batch[0])}; allowed: {', '.join(sorted(names or ()))}, or (inputs, targets)"
            )
        batch = (inputs, *batch[1:])
    return batch


def check_lists(objective: Objective, model: nn.Module, sets: Mapping[str, Batches]) -> None:
    """Raise RecipeError if a batch of a set that is held in memory cannot be learned from by any model."""
    for role, batches in sets.items():
        for raw in batches if isinstance(batches, list | tuple) else ():
            with entering(role):
                objective.check_form(enter(objective, model, raw))


def check_model(name: str, model: object) -> None:
    """Raise RecipeError if a model is none or has no weights yet, or NotApplicable where other processes share its gradients."""
    if not isinstance(model, nn.Module):
        raise RecipeError(f"{name}: is a {type(model).__name__}; allowed: a torch.nn.Module")
    for which, tensor in chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(tensor):
            raise RecipeError(f"{name}: {which} has no values yet, since the model has never run; run it once before")
    if isinstance(model, DistributedDataParallel):
        raise NotApplicable(f"{name}: is wrapped for several processes; give the module inside, {name}.module")


def check_base(base: object, model: nn.Module, name: str = "base") -> None:
    """Raise RecipeError unless another model's parameters have the names, shapes and types of the model's.

    Args:
        base: The other model, for instance the one before training.
        model: The model.
        name: What messages call the other one.

    """
    check_model(name, base)
    assert isinstance(base, nn.Module)
    sides = [
        {name: f"{p.dtype} of shape {tuple(p.shape)}" for name, p in bare(m).named_parameters()} for m in (base, model)
    ]
    for key in sorted(sides[0].keys() | sides[1].keys()):
        ours, wanted = (side.get(key, "missing") for side in sides)
        if ours != wanted:
            raise RecipeError(f"{name}: has other parameters than the model: {key} is {ours}; allowed: {wanted}")


def check_objective(objective: object) -> None:
    """Raise RecipeError if an objective is none."""
    if not isinstance(objective, Objective):
        kind = objective.__name__ if isinstance(objective, type) else type(objective).__name__
        raise RecipeError(
            f"objective: is {'the class' if isinstance(objective, type) else 'a'} {kind}; allowed: an object such as Classification()"
        )


def check_seed(seed: object) -> None:
    """Raise RecipeError if a seed is no whole number that PyTorch takes."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not -(2**63) <= int(seed) < 2**63:
        raise RecipeError(f"seed: {seed!r:.40} is not allowed; allowed: whole numbers from -2**63 to 2**63 - 1")


def made_by(factory: Callable[[], nn.Module], model: nn.Module) -> nn.Module:
    """Return the bare model that a factory makes, on the model's device.

    Raises:
        RecipeError: If it is the model itself, shares a weight with it, or has other weights and buffers.

    """
    with entering("factory", "it cannot be called"):
        fresh = factory()
    return check_own("factory", fresh, model, "a freshly initialized model").to(device_of(model))


def check_own(role: str, given: object, model: nn.Module, allowed: str) -> nn.Module:
    """Return, bare, a model that a user's function gave beside the model at hand.

    Args:
        role: The name of the function's argument.
        given: What it gave.
        model: The model at hand.
        allowed: What the function should give, in words.

    Raises:
        RecipeError: If it is no model, the model itself, shares a weight with it, or has other weights and buffers.

    """
    if not isinstance(given, nn.Module):
        raise RecipeError(f"{role}: returned a {type(given).__name__}; allowed: {allowed}")
    own, model = bare(given), bare(model)
    theirs = {t.untyped_storage().data_ptr() for t in tensors_of(model).values() if t.numel()}
    if own is model or any(t.untyped_storage().data_ptr() in theirs for t in tensors_of(own).values() if t.numel()):
        raise RecipeError(f"{role}: gave the model itself; allowed: {allowed} of the same shape")
    shapes = [{name: tuple(t.shape) for name, t in tensors_of(side).items()} for side in (own, model)]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        ours, wanted = (side.get(name, "none") for side in shapes)
        if ours != wanted:
            raise RecipeError(
                f"{role}: gave a model whose {name} has the shape {ours}; allowed: {wanted}, as in the model"
            )
    return own


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers that are stored with a model, by name."""
    return {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}


@dataclass
class Entrance:
    """Checks the batches of several sets.

    Args:
        objective: How a batch becomes logits and losses.

    """

    objective: Objective
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    """Shape of the logits on the first batch of each set."""
    kinds: set[tuple[str, Hashable]] = field(default_factory=set)
    """What batches the model has been tried on, by set."""
    seen: dict[str, set[int]] = field(default_factory=dict)
    """Identities of the examples read so far, of forget and retain."""

    def inspect(self, role: str, batch: Batch, logits: Callable[[Batch], Tensor]) -> None:
        """Check a batch that :func:`enter` made; the model runs on the first of each kind.

        Args:
            role: The name of the set.
            batch: On the model's device.
            logits: Runs the model on a batch.

        Raises:
            RecipeError: If the batch cannot be learned from.

        """
        with entering(role):
            self.objective.check_form(batch)
            if self.objective.size(batch) == 0:
                raise RecipeError("a batch holds no examples")
            kind = (role, _kind(batch))
            if kind not in self.kinds:
                self.fits(role, batch, logits(batch))
            else:
                self.objective.check(batch, self.shapes[role])
        self.apart(role, batch)

    def apart(self, role: str, batch: Batch) -> None:
        """Raise RecipeError if an example of a batch has been read both in forget and in retain."""
        index, other = self.objective.index(batch), {"forget": "retain", "retain": "forget"}.get(role)
        if index is not None and other:
            self.seen.setdefault(role, set()).update(index.tolist())
            check_disjoint(self.seen[role], self.seen.get(other, set()))

    def fits(self, role: str, batch: Batch, logits: Tensor) -> None:
        """Check a batch beside the logits that the model gives on it; see :meth:`inspect`."""
        self.kinds.add((role, _kind(batch)))
        self.shapes.setdefault(role, logits.shape)
        self.objective.check(batch, logits.shape)
        rows = len(self.objective.targets(batch))
        if len(logits) != rows:
            raise RecipeError(f"the model's output has shape {tuple(logits.shape)} on a batch with {rows} targets")


def _kind(batch: Batch) -> Hashable:
    """Return what makes batches alike for a model: types, and for classifiers the shape of an example, of the inputs."""
    if isinstance(batch, Mapping):
        return tuple(sorted(map(str, batch)))
    return tuple((t.dtype, t.shape[1:]) for t in tree_leaves(batch[0]))


def is_causal(model: nn.Module) -> bool:
    """Return whether a model is a causal language model of transformers, under any wrapper."""
    return any(kind.__name__.endswith(CAUSAL) for kind in type(core(model)).__mro__)


def recognized(model: nn.Module, batches: Batches) -> tuple[Objective, Batches]:
    """Return the objective of a model for which none was given, and the batches, the first of which may have been looked at.

    A causal language model of transformers, or batches with a label for every token, take :class:`CausalLM` without an end token:
    that of a model's configuration need not be the one that ends answers. All else takes :class:`Classification`. Loaders are
    looked into only where the model takes ``input_ids``.
    """
    if is_causal(model):
        return CausalLM(), batches
    if isinstance(batches, list | tuple):
        return CausalLM() if batches and is_text(batches[0]) else Classification(), batches
    if "input_ids" not in named(model):
        return Classification(), batches
    passing = iter(batches)
    first = list(islice(passing, 1))
    objective = CausalLM() if first and is_text(first[0]) else Classification()
    return objective, chain(first, passing) if isinstance(batches, Iterator) else batches
