"""The sets that a user gives: what can be known of them without reading them, and whether two share an example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, ConcatDataset, DataLoader, RandomSampler, SequentialSampler, Subset
from torch.utils.data.sampler import SubsetRandomSampler

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Batches, Objective
from ungrok.core.seeds import seeded

Examples = dict[int, set[int]]
"""Numbers of examples by the identity of the data set that they are counted in."""


def check_batches(role: str, batches: Batches | None, *, again: bool = True) -> None:
    """Raise RecipeError if a set is known, without reading it, not to be a set of batches.

    Args:
        role: Its name.
        batches: The set, or None where none was given.
        again: Whether it must serve more than one pass.

    """
    if batches is None:
        return
    # No check may iterate: the first pass is the method's.
    kind = type(batches).__name__
    if isinstance(batches, Tensor | Mapping | str) or not (
        isinstance(batches, Iterable) or hasattr(batches, "__getitem__")
    ):
        raise RecipeError(f"{role}: is a {kind}; allowed: a DataLoader or a list of batches, for instance [(X, y)]")
    if again and isinstance(batches, Iterator):
        raise RecipeError(f"{role}: an iterator can be used only once; give a list or a DataLoader")
    if size_of(batches) == 0:
        raise RecipeError(f"{role}: holds no batches")
    if isinstance(batches, list | tuple) and isinstance(batches[0], Tensor):
        raise RecipeError(
            f"{role}: is a {kind} of tensors, not of batches; allowed: a DataLoader or a list of batches, for instance [(X, y)]"
        )


def check_overlap(forget: Batches, retain: Batches | None, objective: Objective) -> None:
    """Raise RecipeError if the sets are known, without reading data, to share an example.

    That is so where :func:`check_apart` knows it, and for lists of batches with an index.
    """
    check_apart({"forget": forget, "retain": retain})
    indices = [_of_lists(batches, objective) for batches in (forget, retain)]
    if indices[0] and indices[1]:
        check_disjoint(indices[0], indices[1])


def check_apart(sets: Mapping[str, Batches | None]) -> None:
    """Raise RecipeError if two sets are one object, or loaders of one data set, or of subsets of it, that share an example.

    Args:
        sets: By name.

    """
    for (name, ours), (other, theirs) in combinations(sets.items(), 2):
        if ours is theirs:
            raise RecipeError(f"{name} and {other} are the same object")
        mine, its = _of_data_sets(ours), _of_data_sets(theirs)
        if mine is not None and its is not None:
            for root in mine.keys() & its.keys():
                check_disjoint(mine[root], its[root], "the indices of one data set", (name, other))


def check_disjoint(
    forget: set[int],
    retain: set[int],
    what: str = "the third part of a batch, or its key 'index', taken as identities",
    names: tuple[str, str] = ("forget", "retain"),
) -> None:
    """Raise RecipeError if two sets of identities share one.

    Args:
        forget: Identities of one set.
        retain: Those of the other.
        what: Where the identities stand.
        names: Of the two sets.

    """
    shared = forget & retain
    if shared:
        raise RecipeError(
            f"{' and '.join(names)} share {len(shared)} examples, for instance index {min(shared)} (by {what}); each example belongs "
            "to one of them"
        )


def _of_lists(batches: Batches | None, objective: Objective) -> set[int]:
    """Return the identities in a list of batches, or nothing where a batch has none."""
    if not isinstance(batches, list | tuple):
        return set()
    indices = [_index(batch, objective) for batch in batches]
    return set() if any(index is None for index in indices) else {i for index in indices for i in index.tolist()}  # type: ignore[union-attr]


def _index(batch: Any, objective: Objective) -> Tensor | None:
    try:
        index = batch.get("index") if isinstance(batch, Mapping) else objective.index(batch)
    except Exception:  # what cannot be read as a batch is refused when it is read
        return None
    return index if isinstance(index, Tensor) and index.dtype == torch.int64 and index.ndim == 1 else None


def _of_data_sets(batches: Batches | None) -> Examples | None:
    """Return which examples of which data sets a set reads, or None where that is not known without reading."""
    if isinstance(batches, DataLoader):
        return _of_loader(batches)
    data = getattr(batches, "dataset", None)
    return _of_data(data, None) if isinstance(data, Subset) else None


def _of_loader(loader: DataLoader[Any]) -> Examples | None:
    # With a batch sampler of one's own the loader's sampler is a placeholder.
    plain = loader.batch_sampler is None or type(loader.batch_sampler) is BatchSampler
    sampler = loader.batch_sampler.sampler if isinstance(loader.batch_sampler, BatchSampler) else loader.sampler
    if not plain:
        return None
    if isinstance(sampler, SubsetRandomSampler):
        return _of_data(loader.dataset, sampler.indices)
    if isinstance(sampler, RandomSampler) and len(sampler) < _length(loader.dataset):
        return None
    return _of_data(loader.dataset, None) if isinstance(sampler, SequentialSampler | RandomSampler) else None


def _length(data: Any) -> int:
    try:
        return len(data)
    except TypeError:
        return 0


def _of_data(data: Any, chosen: Iterable[Any] | None) -> Examples | None:
    """Return which examples of the data sets underneath are meant by some of a data set, or by all of it."""
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        return None
    count = _length(data)
    numbers = list(range(count)) if chosen is None else [int(i) % count for i in chosen]
    if isinstance(data, Subset):
        indices = list(data.indices)
        return _of_data(data.dataset, [indices[i] for i in numbers])
    if isinstance(data, ConcatDataset):
        return _of_parts(data, numbers)
    return {id(data): set(numbers)}


def _of_parts(data: ConcatDataset[Any], numbers: list[int]) -> Examples | None:
    examples: Examples = {}
    start = 0
    for part, end in zip(data.datasets, data.cumulative_sizes, strict=True):
        inside = _of_data(part, [i - start for i in numbers if start <= i < end])
        if inside is None:
            return None
        for root, members in inside.items():
            examples.setdefault(root, set()).update(members)
        start = end
    return examples


def sizes(batches: Batches, size: Callable[[Any], int]) -> list[int] | None:
    """Return the sizes of a set's batches in their order, or None where they are not known without reading.

    Args:
        batches: The set.
        size: Gives the number of examples of a batch.

    """
    if isinstance(batches, list | tuple):
        return [size(batch) for batch in batches]
    sampler = getattr(batches, "batch_sampler", None)
    if not isinstance(batches, DataLoader) or type(sampler) is not BatchSampler:
        return None
    count, each = len(sampler.sampler), sampler.batch_size  # type: ignore[arg-type]
    rest = [] if sampler.drop_last or count % each == 0 else [count % each]
    return [each] * (count // each) + rest


class Counted:
    """A set without a length, which is counted once, by a pass that draws nothing from the caller's random state."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self._count: int | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def __len__(self) -> int:
        if self._count is None:
            with seeded(0):
                self._count = sum(1 for _ in self.batches)
        return self._count


def draws_from_torch(batches: Batches) -> bool:
    """Return whether a set is known to draw from no generator but PyTorch's: a list, or one that says so itself."""
    return isinstance(batches, list | tuple) or getattr(batches, "torch_only", False)


def counted(batches: Batches | None) -> Batches:
    """Return a set that has a length; an empty one where none was given."""
    if batches is None:
        return ()
    return batches if size_of(batches) is not None else Counted(batches)


def size_of(batches: Batches) -> int | None:
    """Return the number of batches, or None where it is not known without reading."""
    try:
        return len(batches)  # type: ignore[arg-type]
    except TypeError:  # a DataLoader over an unsized data set has a len, but it fails
        return None
