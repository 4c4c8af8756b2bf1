"""A whole study as a function: where it writes, what it says, and how it is opened again."""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ungrok.core.errors import DamagedFile, RecipeError, StoreError
from ungrok.core.files import read_sealed
from ungrok.study.folder import StudyFolder
from ungrok.study.jobs import Evaluate, Oracle, Unlearn
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.run import counted, folders, planned, reopened, run_study
from ungrok.study.stale import _Earlier
from ungrok.study.store import Store

TINY = Path(__file__).with_name("tiny.yaml")
FAST = ("seeds=[0]", "noise_seeds=0", "trajectory.steps=100", "analyze=[{kind: weight_norm}]")
TABLES = ("rows", "transitions", "oracles", "curves", "timings", "audits", "mechanism")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    said: list[str] = []
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return run_study(load(str(TINY), FAST), out, workers=0, say=said.append), said


@pytest.fixture
def copy(study, tmp_path):
    """Return a copy of the study and of its store, to be spoiled."""
    made, _ = study
    shutil.copytree(made.path, tmp_path / "tiny")
    shutil.copytree(made.store.root, tmp_path / "store")
    return tmp_path / "tiny", Store(tmp_path / "store")


def test_folders_are_named_by_the_recipe(tiny):
    recipe = tiny()
    out, store = folders(recipe)
    assert out == Path("runs") / f"tiny-{recipe.hash}"
    assert store.root == (Path("runs") / "store").resolve()
    out, store = folders(recipe, Path("a/b"), Path("c"))
    assert (out, store.root) == (Path("a/b"), Path("c").resolve())


def test_it_says_what_it_does(study):
    made, said = study
    assert said[0] == f"tiny: {counted(made.plan)}"
    warnings = [f"warning: {text}" for text in made.plan.warnings]
    ran = f"{len(made.plan.jobs)} jobs ran, 0 were finished already"
    assert said[1 : len(warnings) + 2] == [*warnings, ran]
    assert any(line.startswith("  efficiency: ") for line in said)
    assert made.plan.warnings == planned(made.recipe).warnings != []


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_read_back_as_they_were(study, name):
    made, _ = study
    again = StudyFolder.open(made.path)
    pd.testing.assert_frame_equal(getattr(again.results, name), getattr(made.results, name))


def test_everything_else_is_read_back_too(study):
    made, _ = study
    again = StudyFolder.open(made.path)
    assert (again.verdicts, again.doses, again.recipe) == (made.verdicts, made.doses, made.recipe)
    assert again.plan.jobs.keys() == made.plan.jobs.keys()
    assert again.store.root == made.store.root


def make_stale(plan, store):
    """Move the jobs whose code has changed to the keys that they had before."""
    earlier = _Earlier(plan)
    for key, job in plan.jobs.items():
        if isinstance(job, Oracle | Unlearn | Evaluate) or job.kind in ("snapshot", "analyze"):
            old = next(reversed(earlier.of(key)), None)
            if old:
                store.folder(key).rename(store.folder(old))


def test_a_study_whose_jobs_are_stale_is_opened_from_its_tables(study, copy):
    made, _ = study
    out, store = copy
    make_stale(made.plan, store)
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    said: list[str] = []
    again = reopened(out, store.root, said.append)
    assert len(said) == 1
    assert "2 oracle jobs that read stale jobs" in said[0]
    assert "6 evaluate jobs that read stale jobs" in said[0]
    assert "running the study makes these jobs again" in said[0]
    assert again.verdicts == made.verdicts
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(again.results, name), getattr(made.results, name))
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_tables_of_an_earlier_version_are_enough(study, copy):
    made, _ = study
    out, store = copy
    make_stale(made.plan, store)
    for name in ("transitions", "oracles", "curves", "timings"):  # then there was only CSV, and no curves
        (out / f"{name}.parquet").unlink()
    (out / "curves.csv").unlink()
    results = reopened(out, store.root).results
    pd.testing.assert_frame_equal(results.curves, made.results.curves)
    pd.testing.assert_frame_equal(results.transitions, made.results.transitions, check_dtype=False)
    assert results.transitions["grokked_step"].dtype == made.results.transitions["grokked_step"].dtype


def test_the_look_is_counted_in_the_store_and_stands_in_the_provenance(study):
    made, _ = study
    assert made.provenance["look"] == {"alpha": 0.05, "number": 0, "seeds_before": (), "first_headline_same": True}
    (ledger,) = (made.store.root / "looks").iterdir()
    assert read_sealed(ledger)["seeds"] == [[0]]


@pytest.fixture
def read_only(monkeypatch):
    """Return a function after which nothing below a folder can be written."""

    def forbid(root):
        def refuse(path):
            if isinstance(path, str | os.PathLike) and Path(root) in Path(path).absolute().parents:
                raise OSError(errno.EROFS, "Read-only file system", str(path))

        def guarded(real, writes=lambda *_, **__: True):
            def call(path, *args, **options):
                if writes(*args, **options):
                    refuse(path)
                return real(path, *args, **options)

            return call

        opens = guarded(open, lambda mode="r", *_, **__: set(mode) & set("wax+"))
        for module in (builtins, io):
            monkeypatch.setattr(module, "open", opens)
        monkeypatch.setattr(os, "open", guarded(os.open, lambda flags, *_, **__: flags & (os.O_WRONLY | os.O_RDWR)))
        monkeypatch.setattr(os, "mkdir", guarded(os.mkdir, lambda *_, **__: True))
        for name in ("rename", "replace", "unlink", "remove", "rmdir"):
            monkeypatch.setattr(os, name, guarded(getattr(os, name)))

    return forbid


@pytest.mark.parametrize("again", ["study", "report"])
def test_a_finished_study_works_where_nothing_can_be_written(study, copy, read_only, again):
    made, _ = study
    out, store = copy
    (out / "report" / "index.html").write_text("")
    read_only(out.parent)
    said: list[str] = []
    if again == "study":
        opened = run_study(made.recipe, out, store.root, say=said.append)
        assert f"0 jobs ran, {len(made.plan.jobs)} were finished already" in said
    else:
        opened = reopened(out, store.root, said.append)
    assert f"warning: {out} cannot be written; its tables stay as they are" in said
    assert opened.verdicts == made.verdicts
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(opened.results, name), getattr(made.results, name))


def test_a_study_that_is_not_finished_is_refused_where_nothing_can_be_written(study, copy, read_only):
    made, _ = study
    out, store = copy
    shutil.rmtree(next(store.root.glob("unlearn-*")))
    read_only(out.parent)
    with pytest.raises(StoreError, match="Read-only file system") as error:
        run_study(made.recipe, out, store.root, workers=0)
    assert str(out.parent) in str(error.value)


@pytest.mark.parametrize("name", ["provenance.json", "results.parquet", "curves.parquet", "verdicts"])
def test_a_damaged_file_of_a_study_is_written_again_by_its_report(study, copy, name):
    made, _ = study
    out, store = copy
    path = out / "report" / "verdicts.json" if name == "verdicts" else out / name
    whole = path.read_bytes()
    path.write_bytes(b"x" + whole[1:])
    if name == "provenance.json":
        with pytest.raises(DamagedFile, match="provenance"):
            StudyFolder.open(out)
    again = reopened(out, store.root)
    assert again.verdicts == made.verdicts
    assert name == "provenance.json" or path.read_bytes() == whole
    pd.testing.assert_frame_equal(StudyFolder.open(out).results.rows, made.results.rows)


def test_a_damaged_job_is_named_by_report_and_made_again_by_study(study, copy):
    made, _ = study
    out, store = copy
    path = next(store.root.glob("unlearn-*")) / "result.json"
    whole = path.read_bytes()
    path.unlink()
    path.mkdir()
    with pytest.raises(DamagedFile, match=r"result\.json: missing, or no file; running the study again makes that job"):
        reopened(out, store.root)
    said: list[str] = []
    assert run_study(made.recipe, out, store.root, workers=0, say=said.append).verdicts == made.verdicts
    assert any(line.startswith(f"damaged: {path}") for line in said)
    assert path.read_bytes() == whole


def test_a_study_opens_without_any_times(study, copy):
    made, _ = study
    out, store = copy
    for path in store.root.glob("*/timing.json"):
        path.write_text("{")
    again = reopened(out, store.root)
    assert again.verdicts == made.verdicts
    assert again.results.timings["seconds"].isna().all()
    assert len(again.results.timings) == len(made.plan.jobs)


def test_a_dashboard_needs_workers_of_the_study_s_own(tiny, tmp_path):
    for options in ({"workers": 0}, {"scheduler": "tcp://127.0.0.1:1"}):
        with pytest.raises(RecipeError, match=r"--dashboard: with --(workers 0|scheduler) there is no cluster"):
            run_study(tiny(), tmp_path / "out", dashboard=True, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_lacks_jobs_is_named(copy):
    out, store = copy
    shutil.rmtree(next(store.root.glob("unlearn-*")))
    with pytest.raises(StoreError, match=r"store: 1 of \d+ jobs are missing; name the store with --store"):
        reopened(out, store.root)


def test_a_whole_store_gives_the_tables_again(study, copy):
    made, _ = study
    out, store = copy
    (out / "results.parquet").unlink()
    again = reopened(out, store.root)
    pd.testing.assert_frame_equal(again.results.rows, made.results.rows)
    assert (out / "results.parquet").read_bytes() == (made.path / "results.parquet").read_bytes()


SEARCH = ("unlearn=[{kind: gradient_ascent, lr: {auto: 0.01}, updates: 12}]", "search.most=5", "claims.targets=[0.1]")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    said: list[str] = []
    out = tmp_path_factory.mktemp("searches") / "tiny"
    return run_study(load(str(TINY), [*FAST, *SEARCH]), out, workers=0, say=said.append), said


def test_a_search_says_its_rounds(searched):
    made, said = searched
    first = make_plan(made.recipe)
    assert said[0] == f"tiny: {counted(first)}, round 1"
    assert made.plan.round >= 2
    for number in range(2, made.plan.round + 1):
        assert any(line.startswith(f"round {number}: ") and "gradient_ascent lr=" in line for line in said)
    assert f"{len(made.plan.jobs)} jobs ran, 0 were finished already" in said
    assert set(first.jobs) < set(made.plan.jobs)


def test_all_rates_of_a_search_stand_in_the_rows(searched):
    made, _ = searched
    assert set(made.results.rows["method"]) == {path.method for path in made.plan.paths}
    assert len(set(made.results.rows["method"])) > 3
    assert made.recipe.unlearn_labels() == ["gradient_ascent"]
    assert set(made.doses) == set(made.results.rows["method"])


def test_a_finished_search_is_opened_with_the_same_plan(searched):
    made, _ = searched
    table = (made.path / "results.parquet").read_bytes()
    said: list[str] = []
    for again in (
        reopened(made.path),
        StudyFolder.open(made.path),
        run_study(made.recipe, made.path, made.store.root, workers=0, say=said.append),
    ):
        assert list(again.plan.jobs) == list(made.plan.jobs)
    assert (made.path / "results.parquet").read_bytes() == table
    assert f"0 jobs ran, {len(made.plan.jobs)} were finished already" in said


def test_a_search_goes_on_where_it_was_interrupted(searched, tmp_path):
    made, _ = searched
    shutil.copytree(made.store.root, tmp_path / "store")
    store = Store(tmp_path / "store")
    last = next(path.rows for path in made.plan.paths if path.method == "gradient_ascent lr=0.00125")
    shutil.rmtree(store.folder(last))
    said: list[str] = []
    again = run_study(made.recipe, tmp_path / "tiny", store.root, workers=0, say=said.append)
    assert said[0].endswith(f", round {made.plan.round}")
    assert f"1 jobs ran, {len(made.plan.jobs) - 1} were finished already" in said
    assert (again.path / "results.parquet").read_bytes() == (made.path / "results.parquet").read_bytes()


def test_a_damaged_job_of_a_search_is_named_by_report_and_made_again_by_study(searched, tmp_path):
    made, _ = searched
    shutil.copytree(made.path, tmp_path / "tiny")
    shutil.copytree(made.store.root, tmp_path / "store")
    key = next(path.rows for path in made.plan.paths if path.method == "gradient_ascent lr=0.02")
    damaged = tmp_path / "store" / key / "result.json"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(DamagedFile, match="running the study again makes that job again"):
        reopened(tmp_path / "tiny", tmp_path / "store")
    again = run_study(made.recipe, tmp_path / "tiny", tmp_path / "store", workers=0)
    assert list(again.plan.jobs) == list(made.plan.jobs)


def test_a_search_whose_jobs_are_stale_is_opened_from_its_tables(searched, tmp_path):
    made, _ = searched
    shutil.copytree(made.path, tmp_path / "tiny")
    shutil.copytree(made.store.root, tmp_path / "store")
    make_stale(made.plan, Store(tmp_path / "store"))
    again = reopened(tmp_path / "tiny", tmp_path / "store")
    pd.testing.assert_frame_equal(again.results.rows, made.results.rows)


def test_a_folder_without_a_study(tmp_path):
    with pytest.raises(RecipeError, match=r"holds no study \(no recipe.yaml\)"):
        reopened(tmp_path)


def test_a_report_needs_no_data_where_its_recipe_has_not_changed(study, copy, monkeypatch):
    made, _ = study
    out, store = copy

    def gone(recipe):
        raise RecipeError("problem: the data are gone")

    monkeypatch.setattr("ungrok.study.run.preflight", gone)
    again = reopened(out, store.root)
    assert again.plan.warnings == made.plan.warnings != []
    assert "checked" not in again.provenance
    recipe = (out / "recipe.yaml").read_text()
    (out / "recipe.yaml").write_text(recipe.replace("alpha: 0.05", "alpha: 0.01"))
    with pytest.raises(RecipeError, match="the data are gone"):
        reopened(out, store.root)
