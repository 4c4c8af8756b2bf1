"""Jobs of a store that are made again, because the code that computes their kind has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


def earlier_keys(plan: Plan, store: Store) -> set[str]:
    """Return the keys of stale jobs that stand in a store for jobs of a plan."""
    earlier = _Earlier(plan)
    return {old for key in plan.jobs if not store.has(key) for old in earlier.of(key) if store.has(old)}


@dataclass(frozen=True)
class _Form:
    """A key that a job has or had.

    Args:
        key: The key.
        what: Kind and version under which earlier code made it, as in :class:`Stale`; None for the key of today.
        code: By kind, which of its forms the code had then; kinds that never changed are not listed.

    """

    key: str
    what: tuple[str, int | None] | None
    code: dict[str, int]


class _Earlier:
    """Keys that the jobs of a plan had under earlier code."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._known: dict[str, list[_Form]] = {}

    def of(self, key: str) -> dict[str, tuple[str, int | None]]:
        """Return earlier keys of a job, each with kind and version; newest last."""
        return {form.key: form.what for form in self._forms(key) if form.what is not None}

    def _forms(self, key: str) -> list[_Form]:
        """Return the keys of a job, that of today first."""
        if key not in self._known:
            made = {form.key: form for form in self._made(key)}
            self._known[key] = [made.pop(key), *made.values()]
        return self._known[key]

    def _made(self, key: str) -> Iterator[_Form]:
        job = self.plan.jobs[key]
        earlier = [(kind, version, version, spec, inputs) for kind, version, spec, inputs in job.earlier()]
        today = (job.kind, job.version, None, job.spec.spec(), job.inputs)
        for number, (kind, version, said, spec, inputs) in enumerate([*earlier, today]):
            for keys, code in self._read(inputs, {job.kind: number} if earlier else {}):
                made = key_of(kind, version, spec, keys)
                yield _Form(made, None if made == key else (kind, said), code)

    def _read(self, inputs: dict[str, str], code: dict[str, int]) -> list[tuple[dict[str, str], dict[str, int]]]:
        """Return the keys that inputs had together: at any time, all jobs of a kind were made by one form of the code."""
        together = [(dict[str, str](), code)]
        for role, key in inputs.items():
            together = [
                (keys | {role: form.key}, known | form.code)
                for keys, known in together
                for form in self._forms(key)
                if all(known.get(kind, number) == number for kind, number in form.code.items())
            ]
        return together
