"""What of a store can go: reports stay the same bytes, and what is needed again is made again."""

from __future__ import annotations

import shutil

import pytest

from ungrok.core.errors import DamagedFile, RecipeError, StoreError
from ungrok.study import engine
from ungrok.study.folder import StudyFolder
from ungrok.study.outputs import BEGUN, begin
from ungrok.study.plan import make_plan
from ungrok.study.prune import bytes_of, keys_in, needed_by, prune, sizes, studies_of, unneeded
from ungrok.study.run import reopened, run_study, written
from ungrok.study.running import running
from ungrok.study.store import Store


@pytest.fixture
def study(finished, tmp_path):
    """A finished study of one seed, in a store of its own."""
    plan, store = finished
    return written(tmp_path / "run", plan, Store(shutil.copytree(store.root, tmp_path / "store")), 0, None)


def opened(study):
    return StudyFolder.open(study.path, study.store.root)


def jobs_of(study, kind):
    return [key for key in study.plan.jobs if key.startswith(f"{kind}-")]


def table(study):
    return (study.path / "results.parquet").read_bytes()


def test_sizes_add_up_by_kind_and_by_study(study, tiny, tmp_path):
    store, counts = study.store, study.plan.counts()
    kinds, (own,) = sizes(store, [study])
    total = sum(bytes_of(store.folder(key)) for key in study.plan.jobs)
    assert {share.name: share.jobs for share in kinds} == counts
    assert sum(share.bytes for share in kinds) == own.bytes == own.alone == total > 10**6
    assert [share.bytes for share in kinds] == sorted((share.bytes for share in kinds), reverse=True)
    assert {share.alone for share in kinds} == {0}  # the study has them all
    assert all(share.alone == share.bytes for share in sizes(store, [])[0])
    _, twice = sizes(store, [study, opened(study)])
    assert [(share.bytes, share.alone) for share in twice] == [(total, 0)] * 2
    assert list(keys_in(Store(tmp_path / "absent"))) == []


def test_only_what_no_study_needs_goes(study, tiny):
    """The jobs of another recipe go; those that both share stay."""
    other = make_plan(tiny("seeds=[0]", "trajectory.steps=100", "unlearn=[{kind: gradient_ascent, updates: 2}]"))
    engine.run(list(other.jobs.values()), study.store, workers=0)
    alien = other.jobs.keys() - study.plan.jobs.keys()
    (study.store.root / "notes").mkdir()  # no job: not ours to remove
    what = unneeded(study.store, [study])
    assert set(what.jobs) == alien
    assert alien
    assert alien < other.jobs.keys()
    before = bytes_of(study.store.root)
    prune(study.store, what)
    assert set(keys_in(study.store)) == set(study.plan.jobs)
    assert (study.store.root / "notes").is_dir()
    manifests = sum(200 for _ in what.files)
    assert before - bytes_of(study.store.root) == pytest.approx(what.bytes, abs=manifests * 10)
    assert what.bytes == sum(size for *_, size in what.by_kind())


def test_the_report_stays_and_everything_after_it_is_made_again(study):
    before, keys = table(study), list(study.plan.jobs)
    what = unneeded(study.store, [study])
    train, *_ = jobs_of(study, "train")
    steps = study.store.folder(train)
    kept = sorted(path.name for path in steps.glob("step-*"))
    assert set(what.files[train]) == set(kept[1:-1])
    assert {key for key, names in what.files.items() if "path.safetensors" in names} == set(jobs_of(study, "unlearn"))
    prune(study.store, what)
    assert sorted(path.name for path in steps.glob("step-*")) == [kept[0], kept[-1]]
    again = reopened(study.path, study.store.root)
    assert table(again) == before
    assert engine.run(list(study.plan.jobs.values()), Store(study.store.root), workers=0) == 0
    assert unneeded(study.store, [study]).bytes == 0

    # Stages and oracles between the checkpoints that are left are reached from the first; paths are walked again.
    names = [*jobs_of(study, "stage"), *jobs_of(study, "oracle"), *jobs_of(study, "evaluate")]
    files = {key: (study.store.folder(key) / name).read_bytes() for key in names for name in ("result.json",)}
    models = {key: (study.store.folder(key) / "model.safetensors").read_bytes() for key in jobs_of(study, "stage")}
    for key in names:
        study.store.discard(key)
    said: list[str] = []
    ran = engine.run(list(study.plan.jobs.values()), Store(study.store.root), workers=0, say=said.append)
    assert ran == len(names) + len(jobs_of(study, "unlearn"))
    assert len([line for line in said if line.startswith("left out: files of unlearn-")]) == len(
        jobs_of(study, "unlearn")
    )
    assert list(keys_in(study.store)) == sorted(keys)
    assert files == {key: (study.store.folder(key) / "result.json").read_bytes() for key in names}
    assert models == {key: (study.store.folder(key) / "model.safetensors").read_bytes() for key in models}


def test_scores_can_stay(study):
    kinds = {key.split("-")[0] for key in unneeded(study.store, [study], keep_scores=True).files}
    assert kinds == {"train"}


def test_what_an_unfinished_job_will_read_stays(study):
    """A stage that is not there yet keeps the checkpoints of its training, a path that is not evaluated its scores."""
    stage, rows = jobs_of(study, "stage")[0], jobs_of(study, "evaluate")[0]
    training, path = (study.plan.jobs[key].inputs[role] for key, role in ((stage, "trajectory"), (rows, "path")))
    assert {training, path} < unneeded(study.store, [study]).files.keys()
    for key in (stage, rows):
        study.store.discard(key)
    assert {training, path}.isdisjoint(unneeded(study.store, [opened(study)]).files)


def test_stale_jobs_from_which_a_report_can_be_written_stay(study, monkeypatch):
    job = study.plan.jobs[jobs_of(study, "evaluate")[0]]
    monkeypatch.setattr(type(job), "version", job.version + 1)
    later = opened(study)
    assert set(study.plan.jobs) <= needed_by(later)
    assert unneeded(study.store, [later]).jobs == {}


def test_a_store_without_a_job_of_the_study_is_refused(study, tmp_path):
    with pytest.raises(RecipeError, match=r"has no job in the store .*elsewhere"):
        unneeded(Store(tmp_path / "elsewhere"), [study])


SEARCH = (
    "seeds=[0]", "noise_seeds=0", "trajectory.steps=100", "claims.targets=[0.1]", "claims.compare=[]", "stages=[final]",
    "unlearn=[{kind: fisher, alpha: {auto: 1.0e-9}}]", "search.most=3",
)  # fmt: skip


def test_jobs_whose_place_longer_lists_have_taken_stay_and_damage_among_them_is_named(tiny, tmp_path):
    study = run_study(tiny(*SEARCH), tmp_path / "run", tmp_path / "store", workers=0)
    assert study.plan.round > 1
    assert study.plan.replaced
    assert study.plan.every.keys() == set(keys_in(study.store))
    before = table(study)
    prune(study.store, unneeded(study.store, [opened(study)]))
    again = reopened(study.path, study.store.root)
    assert again.plan.jobs.keys() == study.plan.jobs.keys()
    assert table(again) == before
    result = study.store.folder(make_plan(study.recipe).paths[0].rows) / "result.json"
    result.write_bytes(result.read_bytes()[:-1])
    with pytest.raises(DamagedFile, match=r"result\.json: does not match"):
        unneeded(study.store, [opened(study)])


def test_a_study_that_was_interrupted_is_known_by_its_folder_and_keeps_its_jobs(tiny, tmp_path, monkeypatch):
    recipe = tiny("seeds=[0]", "trajectory.steps=100", "unlearn=[{kind: gradient_ascent, updates: 2}]")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ungrok.study.jobs.Unlearn.run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(recipe, tmp_path / "run", tmp_path / "store", workers=0)
    (study,) = studies_of(tmp_path / "run")
    assert study.recipe == recipe
    there = set(keys_in(study.store))
    assert there
    assert there <= study.plan.jobs.keys()
    assert unneeded(study.store, [study]).jobs == {}
    with pytest.raises(RecipeError, match=r"holds no study .no provenance\.json"):
        StudyFolder.open(tmp_path / "run")


def test_a_study_that_was_begun_where_another_is_finished_is_known_beside_it(study, tiny):
    other = tiny("seeds=[0]", "trajectory.steps=100", "unlearn=[{kind: gradient_ascent, updates: 2}]")
    begin(study.path, other)
    finished, begun = studies_of(study.path, study.store.root)
    assert (finished.recipe.hash, begun.recipe.hash) == (study.recipe.hash, other.hash)
    written(study.path, study.plan, study.store, 0, None)
    assert not (study.path / BEGUN).exists()
    assert len(studies_of(study.path)) == 1


def test_a_store_on_which_a_study_runs_is_not_pruned(study):
    what = unneeded(study.store, [study])
    before = bytes_of(study.store.root)
    with running(study.store), pytest.raises(StoreError, match="a study runs on it"):
        prune(study.store, what)
    assert bytes_of(study.store.root) == before
    prune(study.store, what)
    assert bytes_of(study.store.root) < before
