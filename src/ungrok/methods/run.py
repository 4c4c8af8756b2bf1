"""Unlearning for a model and data of one's own, in one call."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

from torch import nn

from ungrok.core.entrance import check_model, check_objective, check_seed, recognized
from ungrok.core.errors import RecipeError, UnlearningWarning
from ungrok.core.objective import Batches, Objective
from ungrok.core.precision import autocast
from ungrok.core.scores import device_of
from ungrok.core.seeds import seeded
from ungrok.core.sets import check_batches
from ungrok.methods.base import UNLEARNERS, Unlearner
from ungrok.methods.change import Change
from ungrok.methods.material import Rewound
from ungrok.methods.path import Step, UnlearningPath

P = ParamSpec("P")


def make_method(method: str | Unlearner, settings: dict[str, Any]) -> Unlearner:
    """Return the method of a name and its settings.

    Raises:
        RecipeError: If the name or a setting is not known, or a value is not allowed.

    """
    if isinstance(method, Unlearner):
        if settings:
            raise RecipeError(
                f"{', '.join(settings)}: give settings together with a method's name, not with its object"
            )
        return method
    if not isinstance(method, str):
        name = getattr(method, "__name__", "SCRUB")
        raise RecipeError(f"method: {method!r} is neither a name nor a configured method; give for instance {name}()")
    return UNLEARNERS.get(method)(**settings)


def unlearning_path(
    model: nn.Module,
    *,
    forget: Batches,
    retain: Batches | None = None,
    method: str | Unlearner,
    objective: Objective | None = None,
    validation: Batches | None = None,
    factory: Callable[[], nn.Module] | None = None,
    base: nn.Module | None = None,
    rewound: Rewound | None = None,
    seed: int = 0,
    bfloat16: bool = False,
    **settings: Any,
) -> UnlearningPath:
    """Return the unlearning path that leaves ``model``: an iterator that pauses after every update or strength.

    Args:
        model: Any classifier or causal language model, on any device, in any mode, under ``nn.DataParallel`` or
            ``torch.compile`` or not; it is not changed.
        forget: Re-iterable of batches to forget, used in the order it gives; a DataLoader or a list. Batches are
            ``(inputs, targets)``, ``(inputs, targets, index)`` or dicts, as the objective says.
        retain: Re-iterable of batches to keep.
        method: A configured method, for instance ``SCRUB(lr=5e-4, epochs=3)``, or a name from ``ungrok list methods``.
        objective: How a batch becomes logits and losses. By default ``CausalLM`` for a causal language model of transformers
            or batches with a label for every token, cross-entropy classification for all else.
        validation: Re-iterable of held-out batches, for methods that need them.
        factory: Returns a freshly initialized model of the same shape, for methods that need one.
        base: The model before it saw the data, for methods that need it.
        rewound: Goes back along the training, for methods that need it; see :data:`ungrok.methods.material.Rewound`.
        seed: The only source of randomness.
        bfloat16: Autocast the model's passes to bfloat16; weights and losses stay as they are.
        **settings: Beside a name, the method's hyper-parameters, for instance ``lr=5e-4, epochs=3``.

    Returns:
        Steps with ``updates``, ``dose``, ``loss`` and the live ``model``; ``step.snapshot()`` copies it. ``path.budget`` is the
        dose at which the path ends.

    Raises:
        RecipeError: If a name, a setting or a set is not usable; the message says what is allowed.
        NotApplicable: If the method does not apply to this model or these data.

    Warns:
        UnlearningWarning: Where the path ends, if a weight is no longer finite, or if a pass over the forget set shows no change.

    """
    made = make_method(method, settings)
    check_model("model", model)
    check_seed(seed)
    if objective is not None:
        check_objective(objective)
    else:
        check_batches("forget", forget)
        with seeded(seed):
            objective, _ = recognized(model, forget)
    run = autocast(objective, device_of(model)) if bfloat16 else objective
    path = made.path(
        model, forget, retain, run, validation=validation, factory=factory, base=base, rewound=rewound, seed=seed
    )
    return UnlearningPath(_watched(path, made.label, Change(model, forget, objective, seed)), path.budget)


def _watched(path: UnlearningPath, label: str, change: Change) -> Iterator[Step]:
    """Yield the steps of a path, and warn if the last one is still where the path began, or no model any more."""
    last: Step | None = None
    for last in path:
        yield last
    if last is not None and (broken := change.broken(last.model)):
        warnings.warn(f"{label} has diverged: {broken}", UnlearningWarning, stacklevel=3)
    elif last is not None and (nothing := change.too_small(last.model)):
        warnings.warn(f"{label} left the model as it was: {nothing}", UnlearningWarning, stacklevel=3)


def _taking(path: Callable[P, UnlearningPath]) -> Callable[[Callable[..., nn.Module]], Callable[P, nn.Module]]:
    """Give a function the parameters of another, for type checkers, editors and ``inspect`` alike."""

    def give(function: Callable[..., nn.Module]) -> Callable[P, nn.Module]:
        result = function.__annotations__["return"]
        function.__annotations__ = path.__annotations__ | {"return": result}
        function.__signature__ = inspect.signature(path).replace(return_annotation=result)  # type: ignore[attr-defined]
        return function

    return give


@_taking(unlearning_path)
def unlearn(*args: Any, **kwargs: Any) -> nn.Module:
    """Return a new model from which ``forget`` has been unlearned, in the modes of the one handed in.

    Arguments and errors are those of :func:`unlearning_path`, which this walks to its end. A one-shot method given several
    strengths ends at the one that changes most.
    """
    try:
        given = inspect.signature(unlearning_path).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"unlearn() {error}") from None
    *_, last = unlearning_path(*args, **kwargs)
    model: nn.Module = given.arguments["model"]
    for ours, theirs in zip(last.model.modules(), model.modules(), strict=True):
        ours.training = theirs.training
    last.model.zero_grad(set_to_none=True)
    return last.model
