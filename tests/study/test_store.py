from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ungrok.core.errors import DamagedFile, StoreError
from ungrok.core.files import write_json
from ungrok.study.job import KINDS, Job, Result, Spec
from ungrok.study.store import Store, explained


class NumberSpec(Spec):
    a: int


class NumberResult(Result):
    answer: int


class One(Job[NumberSpec, NumberResult]):
    kind, version, spec_type, result_type, cost = "one", 1, NumberSpec, NumberResult, 1.0


class Other(One):
    kind = "other"


@pytest.fixture(autouse=True)
def _kinds(monkeypatch):
    for kind in (One, Other):
        monkeypatch.setitem(KINDS, kind.kind, kind)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.prepare()
    return store


JOB = One(NumberSpec(a=1), {}, "a label")


def finish(store: Store, job: One = JOB, seconds: float = 1.0) -> None:
    (store.partial(job) / "data.bin").write_bytes(b"0123456789")
    store.finish(job, NumberResult(answer=42), {"total": seconds})


def test_key_is_the_hash_of_kind_spec_inputs_and_code_version(monkeypatch):
    assert JOB.key == One(NumberSpec(a=1), {}, "another label").key
    others = [One(NumberSpec(a=2)), Other(NumberSpec(a=1)), One(NumberSpec(a=1), {"trajectory": "x"})]
    keys = {JOB.key, *(job.key for job in others)}
    assert len(keys) == 4
    monkeypatch.setattr(One, "version", One.version + 1)
    assert One(NumberSpec(a=1)).key not in keys


def test_a_job_is_absent_until_it_is_finished(store):
    store.partial(JOB)
    assert not store.has(JOB.key)
    finish(store)
    finished = store.open(JOB.key, One)
    assert (finished.result, finished.spec, finished.seconds) == (NumberResult(answer=42), JOB.spec, {"total": 1.0})
    assert not (store.root / ".partial" / JOB.key).exists()


def test_seconds_do_not_enter_the_manifest(tmp_path):
    manifests = []
    for seconds in (1.0, 2.0):
        store = Store(tmp_path / str(seconds))
        store.prepare()
        finish(store, seconds=seconds)
        manifests.append((store.folder(JOB.key) / "manifest.json").read_bytes())
    assert manifests[0] == manifests[1]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, lambda p: p.write_bytes(p.read_bytes()[:-1]), lambda p: p.unlink()])
@pytest.mark.parametrize("name", ["data.bin", "result.json"])
def test_damage_is_noticed_and_named(store, damage, name):
    finish(store)
    store.open(JOB.key, One)
    damage(store.folder(JOB.key) / name)
    with pytest.raises(DamagedFile, match=name):
        store.open(JOB.key, One)
    with pytest.raises(DamagedFile, match=name):
        Store(store.root).open(JOB.key, One)


@pytest.mark.parametrize("name", ["data.bin", "result.json", "job.json", "manifest.json"])
def test_a_folder_in_the_place_of_a_file_is_damage(store, name):
    finish(store)
    (store.folder(JOB.key) / name).unlink()
    (store.folder(JOB.key) / name).mkdir()
    with pytest.raises(DamagedFile, match=name):
        store.open(JOB.key, One)


def test_one_job_s_folder_in_the_place_of_another_s_is_damage(store):
    """The files match their checksums; only the key tells that they are another job's."""
    other = One(NumberSpec(a=2))
    finish(store)
    finish(store, other)
    shutil.rmtree(store.folder(JOB.key))
    shutil.copytree(store.folder(other.key), store.folder(JOB.key))
    with pytest.raises(DamagedFile, match=r"job\.json: describes another job"):
        store.open(JOB.key, One)
    assert store.open(other.key, One).spec.a == 2


def test_a_job_of_an_earlier_version_of_its_kind_is_its_own(store, monkeypatch):
    finish(store)
    monkeypatch.setattr(One, "version", 3)
    assert store.open(JOB.key, One).result == NumberResult(answer=42)


def test_a_job_of_a_kind_that_is_not_known_here_is_still_checked(store, monkeypatch):
    finish(store)
    monkeypatch.delitem(KINDS, "one")
    store.check(JOB.key)
    flip(store.folder(JOB.key) / "data.bin")
    with pytest.raises(DamagedFile, match=r"data\.bin"):
        store.check(JOB.key)


def test_flipped_bits_of_the_times_are_never_taken_for_times(store):
    finish(store)
    path = store.folder(JOB.key) / "timing.json"
    whole, lost = path.read_bytes(), 0
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        seconds = store.open(JOB.key, One).seconds
        assert seconds in ({}, {"total": 1.0})
        lost += not seconds
    assert lost > 7 * len(whole)


def test_times_that_cannot_be_read_are_none(store):
    finish(store)
    path = store.folder(JOB.key) / "timing.json"
    path.unlink()
    path.symlink_to(path.name)
    assert store.open(JOB.key, One).seconds == {}


def test_a_job_opens_without_its_times(store):
    finish(store)
    path = store.folder(JOB.key) / "timing.json"
    write_json(path, {"total": 2.5})  # as earlier versions wrote it
    assert store.open(JOB.key, One).seconds == {"total": 2.5}
    for content in ("[1]", "{", '{"total": "a"}', "\0"):
        path.write_text(content)
        assert store.open(JOB.key, One).seconds == {}
    path.unlink()
    assert store.open(JOB.key, One).seconds == {}
    path.mkdir()
    assert store.open(JOB.key, One).seconds == {}


def test_what_an_interrupted_seal_left_is_not_listed(store):
    for name in ("timing.json", "manifest.json"):
        (store.partial(JOB) / name).write_text("{}")
    finish(store)
    assert store.open(JOB.key, One).seconds == {"total": 1.0}
    listed = json.loads((store.folder(JOB.key) / "manifest.json").read_text())
    assert sorted(listed) == ["data.bin", "job.json", "result.json"]


def test_a_damaged_job_is_discarded_once(store):
    finish(store)
    flip(store.folder(JOB.key) / "data.bin")
    with ThreadPoolExecutor(8) as pool:
        damages = list(pool.map(lambda _: Store(store.root).discard_damaged(JOB.key), range(8)))
    assert [str(damage) for damage in damages if damage] == [
        f"{store.folder(JOB.key) / 'data.bin'}: does not match its checksum"
    ]
    finish(store)
    assert store.discard_damaged(JOB.key) is None
    assert store.has(JOB.key)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(
        StoreError, match=r"store/\.locks: this file system has no file locks .flock: not here.; use a folder"
    ):
        Store(tmp_path / "store").prepare()


def test_a_lock_is_held_by_one_at_a_time(store):
    inside, most = [], []

    def work(_):
        with Store(store.root).lock(JOB.key):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert most == [1] * 40


def test_a_folder_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Store(tmp_path / "file" / "store").prepare()


def test_a_full_disk_is_explained(tmp_path):
    with (
        pytest.raises(StoreError, match="no space left on the device; what is finished stays readable"),
        explained(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_job_whose_manifest_is_lost_can_be_finished_again(store):
    finish(store)
    (store.folder(JOB.key) / "manifest.json").unlink()
    assert not store.has(JOB.key)
    finish(store)
    assert store.open(JOB.key, One).result == NumberResult(answer=42)


def test_discarding_leaves_nothing_that_looks_finished(store, monkeypatch):
    finish(store)
    monkeypatch.setattr("ungrok.study.store.shutil.rmtree", lambda *_, **__: None)
    store.discard(JOB.key)
    assert not store.folder(JOB.key).exists()


def test_a_job_is_opened_as_its_kind_or_what_stands_for_it(store):
    finish(store)
    finish(store, Other(NumberSpec(a=1)))
    assert store.open(Other(NumberSpec(a=1)).key, One).result.answer == 42
    with pytest.raises(StoreError, match="is a job of kind one, and not Other, which is read here"):
        store.open(JOB.key, Other)


def test_while_it_is_read_a_job_is_read_once(store, monkeypatch):
    finish(store)
    reading, paths = store.reading(), []
    plain = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **given: paths.append(self.name) or plain(self, **given))
    for _ in range(3):
        assert reading.open(JOB.key, One, tensors=False).result == NumberResult(answer=42)
    assert sorted(paths) == ["job.json", "manifest.json", "result.json"]
    assert reading.reading() is reading
    with pytest.raises(StoreError, match="is a job of kind one, and not"):
        reading.open(JOB.key, Other)


def test_tensors_are_checked_where_they_are_asked_for(store):
    (store.partial(JOB) / "model.safetensors").write_bytes(b"some weights")
    finish(store)
    flip(store.folder(JOB.key) / "model.safetensors")
    for each in (store, store.reading()):
        assert each.open(JOB.key, One, tensors=False).result == NumberResult(answer=42)
        with pytest.raises(DamagedFile, match=r"model\.safetensors: does not match"):
            each.open(JOB.key, One)


def test_a_job_without_some_of_its_files_is_finished_but_not_for_those_that_read_them(store, monkeypatch):
    finish(store)
    assert (store.left_out(JOB.key), store.lacks(JOB.key)) == (set(), False)
    store.leave_out(JOB.key, ["data.bin"])
    assert not (store.folder(JOB.key) / "data.bin").exists()
    assert store.left_out(JOB.key) == {"data.bin"}
    store.check(JOB.key)
    assert store.open(JOB.key, One).result == NumberResult(answer=42)
    assert store.lacks(JOB.key)
    assert not store.lacks(JOB.key, {"data.bin"})
    monkeypatch.setattr(One, "spare", classmethod(lambda cls, files, spec: {*files} & {"data.bin"}))
    assert not store.lacks(JOB.key)


def test_a_folder_that_is_adopted_takes_the_place_of_what_was_there(store, tmp_path):
    finish(store)
    other = Store(store.root / ".partial" / "other")
    shutil.copytree(store.folder(JOB.key), other.folder(JOB.key))
    store.leave_out(JOB.key, ["data.bin"])
    store.adopt(other.folder(JOB.key))
    assert (store.folder(JOB.key) / "data.bin").read_bytes() == b"0123456789"
    assert store.left_out(JOB.key) == set()
    assert list(other.root.iterdir()) == []


class Crash(BaseException):
    """The process dies."""


def dying_at(monkeypatch, call, *names):
    """Let the process die at this call, counted from 0, of methods of paths that change files."""
    left = [call]

    def counted(plain):
        def change(path, *words, **more):
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            return plain(path, *words, **more)

        return change

    for name in names:
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))


class Resumed(One):
    """A job that is resumed by a file of its own."""

    kind = "resumed"

    @classmethod
    def passing(cls, files):
        return {*files} & {"so far"}


@pytest.mark.parametrize("old", [False, True])
def test_sealing_that_is_cut_anywhere_loses_neither_the_work_nor_the_job(tmp_path, monkeypatch, old):
    """Before the seal the job can be resumed, after it the job is there once it is looked for."""
    job, moment, ways = Resumed(NumberSpec(a=1)), 0, set()
    monkeypatch.setitem(KINDS, "resumed", Resumed)
    for moment in range(20):
        store = Store(tmp_path / str(moment))
        store.prepare()
        if old:
            finish(store, job)
            (store.folder(job.key) / "manifest.json").unlink()
        (store.partial(job) / "so far").write_text("half of it")
        with monkeypatch.context() as patch:
            dying_at(patch, moment, "replace", "rename", "unlink")
            try:
                finish(store, job)
            except Crash:
                pass
            else:
                break
        taken = store.take_up(job.key)
        ways.add(taken)
        assert taken == store.has(job.key)
        assert taken or (store.partial(job) / "so far").read_text() == "half of it"
        finish(store, job) if not taken else None
        assert store.open(job.key, Resumed).result == NumberResult(answer=42)
        assert sorted(path.name for path in store.folder(job.key).iterdir()) == FILES
        assert not store.take_up(job.key)
    assert ways == {False, True}
    assert moment > 5


FILES = ["data.bin", "job.json", "manifest.json", "result.json", "timing.json"]


def test_a_full_disk_while_sealing_keeps_what_the_job_is_resumed_by(store, monkeypatch):
    job = Resumed(NumberSpec(a=1))
    (store.partial(job) / "so far").write_text("all of it")

    def full(path, text, **_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write_json", "write_sealed", "write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(f"ungrok.study.store.{name}", full)
            with pytest.raises(OSError, match="No space"):
                finish(store, job)
        assert (store.partial(job) / "so far").exists()
        assert not store.has(job.key)
    finish(store, job)
    assert sorted(path.name for path in store.folder(job.key).iterdir()) == FILES


def test_a_sealed_folder_that_was_damaged_since_is_not_taken_up(store, monkeypatch):
    with monkeypatch.context() as patch:
        dying_at(patch, 0, "rename")
        with pytest.raises(Crash):
            finish(store)
    flip(store.partial(JOB) / "data.bin")
    assert not store.take_up(JOB.key)
    assert not store.has(JOB.key)
    assert not (store.partial(JOB) / "manifest.json").exists()
    finish(store)
    assert store.open(JOB.key, One).result == NumberResult(answer=42)


def test_an_adoption_that_is_cut_anywhere_leaves_the_old_job_or_the_new(tmp_path, monkeypatch):
    left = set()
    for moment in range(20):
        store = Store(tmp_path / str(moment))
        store.prepare()
        finish(store)
        other = Store(store.root / ".partial" / "other")
        shutil.copytree(store.folder(JOB.key), other.folder(JOB.key))
        store.leave_out(JOB.key, ["data.bin"])
        (store.partial(JOB) / "half").write_text("of an interrupted run")
        with monkeypatch.context() as patch:
            dying_at(patch, moment, "rename")
            try:
                store.adopt(other.folder(JOB.key))
            except Crash:
                pass
            else:
                break
        store.take_up(JOB.key)
        store.check(JOB.key)
        left.add(frozenset(store.left_out(JOB.key)))
    assert left == {frozenset(), frozenset({"data.bin"})}


def test_a_folder_that_cannot_appear_leaves_the_old_one(store, monkeypatch):
    finish(store)
    shutil.copytree(store.folder(JOB.key), store.root / ".partial" / "other" / JOB.key)
    plain, renamed = Path.rename, []

    def failing(path, target):
        renamed.append(path.parent.name)
        if target == store.folder(JOB.key) and len(renamed) == 3:
            raise OSError(errno.EIO, "Input/output error")
        return plain(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StoreError, match="Input/output error"):
        store.adopt(store.root / ".partial" / "other" / JOB.key)
    assert store.open(JOB.key, One).result == NumberResult(answer=42)


def test_a_job_that_lacks_files_is_discarded_unless_it_was_made_again_meanwhile(store, monkeypatch):
    finish(store)
    store.leave_out(JOB.key, ["data.bin"])
    assert not store.discard_lacking(JOB.key, {"data.bin"})
    plain = Store.lock

    def locked(self, key):
        """Another study is faster."""
        monkeypatch.setattr(Store, "lock", plain)
        with Store(store.root).lock(key):
            finish(store)
        return plain(self, key)

    monkeypatch.setattr(Store, "lock", locked)
    assert not store.discard_lacking(JOB.key)
    assert store.left_out(JOB.key) == set()
    store.leave_out(JOB.key, ["data.bin"])
    assert store.discard_lacking(JOB.key)
    assert not store.has(JOB.key)


@pytest.mark.parametrize(("seconds", "begun", "count"), [(1.0, 1.0, 0), (9.0, 1.0, 3), (1.0, 9.0, 3)])
def test_what_took_long_is_on_the_disk_before_it_counts_as_finished(store, monkeypatch, seconds, begun, count):
    """Description, result and manifest, however short the last of the processes that worked on it."""
    (store.partial(JOB) / "step-0.bin").touch()
    os.utime(store.partial(JOB) / "step-0.bin", (time.time() - begun,) * 2)
    synced = []
    monkeypatch.setattr("ungrok.core.files.os.fsync", synced.append)
    finish(store, seconds=seconds)
    assert len(synced) == count
