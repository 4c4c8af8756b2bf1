"""How large a store is, and what of it the reports of given studies do not need."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ungrok.core.errors import RecipeError, shown_file
from ungrok.core.files import read_json
from ungrok.study.folder import StudyFolder
from ungrok.study.job import KINDS, kind_of
from ungrok.study.jobs.unlearn import SCORES, Unlearn
from ungrok.study.loading import load
from ungrok.study.manifest import JOB, MANIFEST
from ungrok.study.outputs import BEGUN
from ungrok.study.running import at_rest
from ungrok.study.stale import earlier_keys
from ungrok.study.store import Store

KEY = re.compile(r"[a-z_]+-[0-9a-f]{24}")
"""What the folder of a finished job is called."""


def keys_in(store: Store) -> Iterator[str]:
    """Yield the keys of all finished jobs of a store."""
    for path in sorted(store.root.iterdir()) if store.root.is_dir() else ():
        if KEY.fullmatch(path.name) and (path / MANIFEST).is_file():
            yield path.name


def studies_of(run: Path, store: Path | None = None) -> list[StudyFolder]:
    """Return the studies of a folder: one that is finished, one that is running or was interrupted, or both.

    Raises:
        RecipeError: If there is none.
        DamagedFile: If its provenance is damaged.

    """
    study = StudyFolder.open(run, store, begun=True)
    again = [load(str(run / BEGUN))] if (run / BEGUN).is_file() else []
    return [study, *(StudyFolder(run, recipe, {}, study.store) for recipe in again)]


def bytes_of(path: Path) -> int:
    """Return the size of a folder's files, whatever is removed meanwhile."""
    size = 0
    for file in path.rglob("*"):
        try:
            size += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return size


@dataclass(frozen=True)
class Share:
    """What a kind of job, or a study, takes of a store.

    Args:
        name: Of the kind, or of the study's recipe.
        jobs: Number of finished jobs.
        bytes: Their size.
        alone: Size of those that no other study has; for a kind, of those that none of the studies has.

    """

    name: str
    jobs: int
    bytes: int
    alone: int


def needed_by(study: StudyFolder) -> set[str]:
    """Return the keys of the jobs from which a study's report is made.

    They include those of all rounds of its searches, without which the last could not be found again, and those of earlier
    versions of the package.

    Raises:
        DamagedFile: If a file is damaged by which a search went.

    """
    plan = study.whole_plan
    return {*plan.every, *earlier_keys(plan, study.store)}


def sizes(store: Store, studies: Sequence[StudyFolder]) -> tuple[list[Share], list[Share]]:
    """Return the size of a store by kind of job and by study, the largest first.

    Args:
        store: The store.
        studies: Those that it may hold.

    """
    size = {key: bytes_of(store.folder(key)) for key in keys_in(store)}
    wanted = [needed_by(study) & size.keys() for study in studies]
    users = Counter(key for keys in wanted for key in keys)

    def share(name: str, keys: Sequence[str], most: int) -> Share:
        alone = sum(size[key] for key in keys if users[key] <= most)
        return Share(name, len(keys), sum(size[key] for key in keys), alone)

    kinds = [share(kind, [k for k in size if kind_of(k) == kind], 0) for kind in {*map(kind_of, size)}]
    by_study = [share(study.recipe.name, sorted(keys), 1) for study, keys in zip(studies, wanted, strict=True)]
    return _largest_first(kinds), _largest_first(by_study)


def _largest_first(shares: list[Share]) -> list[Share]:
    return sorted(shares, key=lambda share: (-share.bytes, share.name))


@dataclass(frozen=True)
class Unneeded:
    """What can go from a store.

    Args:
        jobs: Size by key, of jobs that none of the studies has.
        files: Size by key and name, of files of the other jobs that no report reads, and that can be made again.

    """

    jobs: dict[str, int]
    files: dict[str, dict[str, int]]

    @property
    def bytes(self) -> int:
        """The size of all that can go."""
        return sum(self.jobs.values()) + sum(size for names in self.files.values() for size in names.values())

    def by_kind(self) -> list[tuple[str, str, int, int]]:
        """Return kind, ``job`` or ``file``, number and size."""
        counts: Counter[tuple[str, str]] = Counter()
        size: Counter[tuple[str, str]] = Counter()
        for key, taken in self.jobs.items():
            counts[kind_of(key), "job"] += 1
            size[kind_of(key), "job"] += taken
        for key, names in self.files.items():
            counts[kind_of(key), "file"] += len(names)
            size[kind_of(key), "file"] += sum(names.values())
        return [(*what, count, size[what]) for what, count in sorted(counts.items())]


def unneeded(store: Store, studies: Sequence[StudyFolder], *, keep_scores: bool = False) -> Unneeded:
    """Return what of a store the reports of studies do not need.

    That is every job that none of them has; of trainings, the checkpoints between the first and the last, which a replay makes
    again; and of unlearning paths the scores, once they are evaluated. Nothing is taken that a job of these studies which is not
    finished will read.

    Args:
        store: The store of the studies.
        studies: Those to be kept.
        keep_scores: Whether the scores along paths stay, from which new measures could be computed at once.

    Raises:
        RecipeError: If the store holds no job of one of the studies.
        DamagedFile: If a file is damaged by which one of them went.

    """
    there, keep, awaited = [*keys_in(store)], set[str](), set[str]()
    for study in studies:
        keys = needed_by(study)
        if keys.isdisjoint(there):
            raise RecipeError(f"RUN: {shown_file(study.path)} has no job in the store {shown_file(store.root)}")
        keep |= keys
        awaited.update(*(job.inputs.values() for job in study.plan.jobs.values() if not store.has(job.key)))
    files = {key: _spared(store, key, keep_scores) for key in there if key in keep - awaited}
    return Unneeded(
        {key: bytes_of(store.folder(key)) for key in there if key not in keep},
        {key: names for key, names in files.items() if names},
    )


def _spared(store: Store, key: str, keep_scores: bool) -> dict[str, int]:
    """Return the files of a finished job that can go, by name with their size."""
    kind, folder = KINDS.get(kind_of(key)), store.folder(key)
    names = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    if kind is None:
        return {}
    spare = kind.spare(names, read_json(folder / JOB)["spec"])
    if issubclass(kind, Unlearn) and not keep_scores:
        spare = {SCORES}
    return {name: size for name, size in sorted(names.items()) if name in spare}


def prune(store: Store, what: Unneeded) -> None:
    """Remove from a store what :func:`unneeded` returned.

    Raises:
        StoreError: If it cannot be written, or a study runs on it.

    """
    store.prepare()
    with at_rest(store):
        for key in what.jobs:
            with store.lock(key):
                if store.has(key):
                    store.discard(key)
        for key, names in what.files.items():
            store.leave_out(key, names)
