"""Studies as folders to be shared: every job of a study, its tables and its recipe, with a checksum of each file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from pyarrow.parquet import ParquetFile, ParquetWriter

from ungrok.core.errors import DamagedFile, RecipeError, StoreError, shown_file
from ungrok.core.files import checksum, inside, matches, read_json, write_json, write_text
from ungrok.core.schema import digest
from ungrok.study.card import TABLES, card
from ungrok.study.folder import StudyFolder
from ungrok.study.job import KINDS, AnyJob, kind_of
from ungrok.study.jobs.checkpoint import WEIGHTS
from ungrok.study.manifest import JOB, MANIFEST, RESULT, TIMING, manifest_text
from ungrok.study.prune import KEY
from ungrok.study.store import Store, explained
from ungrok.train.record import is_checkpoint

SUMS, JOBS, FILES = "checksums.json", "data/jobs.parquet", "files"
TEXTS = {"job": JOB, "result": RESULT, "manifest": MANIFEST, "timing": TIMING}
"""By column of the table of jobs: the file of a job's folder whose text stands there."""
COLUMNS = ["key", "kind", "label", *TEXTS]
AT_ONCE = 64
"""Jobs whose texts are in memory at once."""


def export_study(study: StudyFolder, out: Path, *, weights: bool = False) -> int:
    """Write a study's tables, recipe and jobs as a Hugging Face data set, and return the number of jobs.

    Args:
        study: All its jobs are in its store.
        out: A new folder, or an empty one.
        weights: Whether checkpoints and models are written, too. Without them a new measure of scores runs at once on what is
            imported, and a new method trains the models again.

    Raises:
        RecipeError: If there is something in the folder.
        StoreError: If a job is missing; DamagedFile where a file is damaged.

    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError(f"FOLDER: {shown_file(out)} is not empty; name a new folder")
    store, jobs = study.store, study.whole_plan.every
    lacking = [job.label for key, job in jobs.items() if not store.has(key)]
    if lacking:
        raise StoreError(
            f"store {store.root}: {len(lacking)} of {len(jobs)} jobs are missing, {lacking[0]} for instance; "
            "name the store with --store, or run the study again"
        )
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
        tables = _export_tables(study, out)
        with ParquetWriter(out / JOBS, pa.schema(dict.fromkeys(COLUMNS, pa.string())), compression="zstd") as table:
            every = iter(jobs.values())
            while few := [*islice(every, AT_ONCE)]:
                rows = [_export_job(store, job, out, weights) for job in few]
                table.write_table(pa.Table.from_pylist(rows, table.schema))
        write_text(out / "README.md", card(study.recipe, tables, study.provenance, len(jobs), weights))
        files = sorted(path for path in out.rglob("*") if path.is_file())
        sums = {path.relative_to(out).as_posix(): checksum(path) for path in files}
        write_json(out / SUMS, {"files": sums, "checksum": digest(sums)})
    return len(jobs)


def _export_tables(study: StudyFolder, out: Path) -> list[str]:
    """Copy the tables and the recipe, and return the names of the tables."""
    _ = study.results  # a damaged table is named
    (out / "data").mkdir()
    shutil.copyfile(study.path / "recipe.yaml", out / "recipe.yaml")
    names = [name for name in TABLES if (study.path / f"{name}.parquet").is_file()]
    for name in names:
        shutil.copyfile(study.path / f"{name}.parquet", out / "data" / f"{name}.parquet")
    return names


def _export_job(store: Store, job: AnyJob, out: Path, weights: bool) -> dict[str, str]:
    """Copy the tensors of a job, and return its row in the table of jobs."""
    key, folder = job.key, store.folder(job.key)
    store.check(key)
    texts = {name: path.read_text("utf-8") for name, file in TEXTS.items() if (path := folder / file).is_file()}
    sums = json.loads(texts["manifest"])
    for name in sums:
        if not weights and (name == WEIGHTS or is_checkpoint(name)):
            sums[name] = None
        if sums[name] is not None and name not in TEXTS.values():
            (out / FILES / key / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, out / FILES / key / name)
    return {"key": key, "kind": job.kind, "label": job.label} | texts | {"manifest": manifest_text(sums)}


@dataclass(frozen=True)
class Imported:
    """What came into a store.

    Args:
        jobs: Number of jobs that were not there before, or of which files had been left out.
        known: Number of jobs that were there already.
        recipe: The recipe of the study.

    """

    jobs: int
    known: int
    recipe: Path


def import_study(folder: Path, store: Store) -> Imported:
    """Bring the jobs of an exported study into a store, after checking all of them.

    Every file must match its checksum, the key of every job must follow from its spec and its inputs, and these inputs must be
    there, too. If anything is wrong, nothing is imported.

    Args:
        folder: Written by :func:`export_study`, or downloaded from a hub.
        store: May hold other jobs.

    Raises:
        RecipeError: If the folder holds no exported study.
        DamagedFile: If a file is missing or was changed; the message names it.
        StoreError: If a job belongs to no known kind, or an input is missing.

    """
    if not (folder / SUMS).is_file():
        raise RecipeError(f"FOLDER: {shown_file(folder)} holds no exported study: it has no {SUMS}")
    _check_files(folder)
    store.prepare()
    aside = Store(store.root / ".partial" / f"import-{uuid4().hex}")
    keys, known = [], set[str]()
    try:
        with explained(aside.root):
            for job in _read_jobs(folder):
                key = job["key"]
                if store.has(key) and not store.left_out(key) - _left_out(job):
                    known.add(key)
                    continue
                _unpack(folder, job, aside.folder(key))
                aside.check(key)
                keys.append(key)
        _check_inputs(aside, keys, store, known)
        for key in keys:
            store.adopt(aside.folder(key))
    finally:
        shutil.rmtree(aside.root, ignore_errors=True)
    return Imported(len(keys), len(known), folder / "recipe.yaml")


def _check_files(folder: Path) -> None:
    """Raise DamagedFile that names the first file of an exported study that is missing or was changed."""
    content = read_json(folder / SUMS)
    sums = content.get("files") if isinstance(content, dict) else None
    if not isinstance(sums, dict) or content.get("checksum") != digest(sums) or JOBS not in sums:
        raise DamagedFile(f"{folder / SUMS}: does not match its checksum")
    for name, known in sums.items():
        if not matches(folder / inside(name, folder), known):
            raise DamagedFile(f"{folder / name}: missing, or does not match its checksum in {SUMS}")
    for path in (folder / FILES).rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in sums:
            raise DamagedFile(f"{path}: has no checksum in {SUMS}")


def _read_jobs(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of the table of jobs.

    Raises:
        DamagedFile: If a row is none of a job.
        StoreError: If a kind is not known here.

    """
    with ParquetFile(folder / JOBS) as table:
        for few in table.iter_batches(AT_ONCE, columns=COLUMNS):
            for job in few.to_pylist():
                if not KEY.fullmatch(job["key"]) or None in (job["job"], job["result"], job["manifest"]):
                    raise DamagedFile(f"{folder / JOBS}: {job['key']!r} is no job")
                if (kind := kind_of(job["key"])) not in KINDS:
                    raise StoreError(
                        f"{folder / JOBS}: holds jobs of kind {kind!r}, which this version of ungrok does not know"
                    )
                yield job


def _left_out(job: dict[str, str]) -> set[str]:
    return {name for name, known in json.loads(job["manifest"]).items() if known is None}


def _unpack(folder: Path, job: dict[str, str], into: Path) -> None:
    """Write the folder of a job as it was in the store from which it was exported."""
    into.mkdir(parents=True)
    for name, file in TEXTS.items():
        if job[name] is not None:
            write_text(into / file, job[name])
    for name, known in json.loads(job["manifest"]).items():
        if known is not None and name not in TEXTS.values():
            (into / inside(name, folder)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / FILES / job["key"] / name, into / name)


def _check_inputs(aside: Store, keys: list[str], store: Store, known: set[str]) -> None:
    """Raise StoreError where a job reads one that is neither imported nor in the store."""
    there = known | {*keys}
    for key in keys:
        for role, read in read_json(aside.folder(key) / JOB)["inputs"].items():
            if read not in there and not store.has(read):
                raise StoreError(f"job {key}: its input {role}, {read}, is neither in the folder nor in the store")
