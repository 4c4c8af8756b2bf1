"""What every kind of job shares: a typed spec, named inputs, the key that follows from both, and a typed result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ungrok.core.schema import Schema, digest

if TYPE_CHECKING:
    from ungrok.study.bill import Bill, Prices
    from ungrok.study.store import Work


def anonymous(block: Schema, *more: str) -> dict[str, Any]:
    """Return a block as plain JSON types, without its label and the keys in ``more``, which do not change what it computes."""
    return {key: value for key, value in block.spec().items() if key not in ("name", *more)}


class Spec(Schema):
    """The settings of a job. Its key is a hash of what :meth:`spec` returns and of the keys of its inputs.

    Keys in ``optional`` are left out where they hold their default.
    """

    unnamed: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Names of blocks whose label is not part of the spec, each with further keys of the block that are not."""

    def spec(self) -> dict[str, Any]:
        """Return the content as plain JSON types."""
        content = super().spec()
        return content | {name: anonymous(getattr(self, name), *more) for name, more in self.unnamed.items()}


class Result(Schema):
    """What a job returns; tensors lie beside it in the job's folder."""


S_co = TypeVar("S_co", bound=Spec, covariant=True)
R_co = TypeVar("R_co", bound=Result, covariant=True)


@dataclass(frozen=True)
class Job(Generic[S_co, R_co]):
    """One unit of work: a pure function of its kind, its spec and its inputs.

    A kind is a subclass with the class variables below and :meth:`run`, entered with :func:`register`. An abstract subclass
    stands for several kinds whose results are alike: a result can be opened without knowing which of them made it.

    Args:
        spec: Of the type ``spec_type``.
        inputs: Keys of the jobs it reads, by role.
        label: For people; not part of the key.

    """

    kind: ClassVar[str]
    """Its name in the store."""
    version: ClassVar[int]
    """Raised when the code changes what a kind computes: its old results are then no longer found."""
    spec_type: ClassVar[type[Spec]]
    result_type: ClassVar[type[Result]]
    cost: ClassVar[float]
    """Rough time relative to other kinds, for the progress bar only."""
    unread: ClassVar[frozenset[str]] = frozenset()
    """Names of files of its inputs that it never reads."""
    advice: ClassVar[str] = "trajectory.evaluation_batch"
    """Recipe keys to lower where a device runs out of memory."""

    spec: S_co
    inputs: dict[str, str] = field(default_factory=dict)
    label: str = ""

    @cached_property
    def key(self) -> str:
        """Kind and 24 hexadecimal digits."""
        return key_of(self.kind, self.version, self.spec.spec(), self.inputs)

    @property
    def steps(self) -> int | None:
        """Number of steps of a training, or of updates of a path; None for other kinds, and where it depends on the data."""
        return None

    def run(self, work: Work) -> R_co:
        """Do the work.

        Inputs are read with ``work.open(role, kind)``, files are written to ``work.folder``, and ``work.tick`` is told the share
        that is done.
        """
        raise NotImplementedError

    def bill(self, prices: Prices) -> Bill | None:  # noqa: ARG002
        """Return roughly what the job will cost; None where that is next to nothing, or unknown."""
        return None

    @classmethod
    def spare(cls, files: Iterable[str], spec: Mapping[str, Any]) -> set[str]:  # noqa: ARG003
        """Return those of the files that a job of this spec wrote without which the jobs that read it give the same, if more slowly."""
        return set()

    @classmethod
    def passing(cls, files: Iterable[str]) -> set[str]:  # noqa: ARG003
        """Return those of the files in a working folder that are there to resume the job, and go once it is finished."""
        return set()

    def earlier(self) -> Iterator[tuple[str, int, dict[str, Any], dict[str, str]]]:
        """Yield the kind, version, spec and inputs that this job had in earlier versions of the code; what lies under such a key is stale."""
        for version in range(1, self.version):
            yield self.kind, version, self.spec.spec(), self.inputs


def key_of(kind: str, version: int, spec: dict[str, Any], inputs: Mapping[str, str]) -> str:
    """Return the key of a job: its kind and 24 hexadecimal digits of a hash of what it is made from."""
    return f"{kind}-{digest([kind, {'version': version, 'spec': spec, 'inputs': dict(inputs)}])}"


def kind_of(key: str) -> str:
    """Return the kind that a job's key names."""
    return key.rpartition("-")[0]


AnyJob = Job[Spec, Result]

KINDS: dict[str, type[AnyJob]] = {}
"""Every kind of job by its name; :mod:`ungrok.study.jobs` fills it."""

J = TypeVar("J", bound=type[Job[Any, Any]])


def register(cls: J) -> J:
    """Add a kind of job under its name, and return it unchanged.

    Raises:
        ValueError: If another kind has that name.

    """
    if KINDS.setdefault(cls.kind, cls) is not cls:
        raise ValueError(f"two kinds of job are called {cls.kind!r}")
    return cls
