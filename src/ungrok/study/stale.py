"""Jobs of a store that are made again, because the code that computes their kind has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from ungrok.study.job import key_of
from ungrok.study.plan import Plan
from ungrok.study.store import Store


@dataclass(frozen=True)
class Stale:
    """Jobs of one kind and version that are stale.

    Args:
        kind: By the name under which they lie in the store.
        version: The version of the kind that made them; None where they are stale only because jobs that they read are.
        count: How many.

    """

    kind: str
    version: int | None
    count: int

    @property
    def text(self) -> str:
        """The kind, the number and the reason, in a few words."""
        jobs, read = ("job", "reads") if self.count == 1 else ("jobs", "read")
        why = f"that {read} stale jobs" if self.version is None else f"of version {self.version}"
        return f"{self.count} {self.kind} {jobs} {why}"


def listed(stale: Sequence[Stale]) -> str:
    """Return what is stale as one text."""
    return ", ".join(each.text for each in stale)


def stale_jobs(plan: Plan, store: Store) -> list[Stale]:
    """Return the jobs of a plan that lie in the store only as earlier code made them."""
    earlier = _Earlier(plan)
    counts: Counter[tuple[str, int | None]] = Counter()
    for key in plan.jobs:
        if not store.has(key):
            counts.update([what for old, what in earlier.of(key).items() if store.has(old)][-1:])
    return [Stale(kind, version, count) for (kind, version), count in counts.items()]


def stale_warnings(plan: Plan, store: Store) -> list[str]:
    """Return a sentence on what is stale in a store; none where nothing is."""
    stale = stale_jobs(plan, store)
    if not stale:
        return []
    made = "it is stale" if sum(each.count for each in stale) == 1 else "they are stale"
    return [
        f"store {store.root}: an earlier version of the package made {listed(stale)}; {made} and will be made again"
    ]


class _Earlier:
    """Keys that the jobs of a plan had under earlier code."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._known: dict[str, dict[str, tuple[str, int | None]]] = {}

    def of(self, key: str) -> dict[str, tuple[str, int | None]]:
        """Return earlier keys of a job, each with kind and version; newest last."""
        if key not in self._known:
            self._known[key] = dict(self._keys(key))
        return self._known[key]

    def _keys(self, key: str) -> Iterator[tuple[str, tuple[str, int | None]]]:
        job = self.plan.jobs[key]
        forms = [(kind, version, version, spec, inputs) for kind, version, spec, inputs in job.earlier()]
        for kind, version, said, spec, inputs in [*forms, (job.kind, job.version, None, job.spec.spec(), job.inputs)]:
            for keys in product(*([old, *self.of(old)] for old in inputs.values())):
                made = key_of(kind, version, spec, dict(zip(inputs, keys, strict=True)))
                if made != key:
                    yield made, (kind, said)
