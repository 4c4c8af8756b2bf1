"""The record of a run: resumed bit for bit after crashes and damage."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ungrok.core.files import checksum, load_tensors, read_sealed, save_tensors, write_sealed
from ungrok.train import record
from ungrok.train.loop import Training
from ungrok.train.optimizers import SGD
from ungrok.train.record import EXAMPLES, PROGRESS, can_restart, checkpoint_name, passing

NEVER = 1e9


class Crash(Exception):
    pass


def crash_after(run, updates):
    """Let the run die in the middle of an update."""
    step, left = run.optimizer.step, [updates]

    def dying():
        if not left[0]:
            raise Crash
        left[0] -= 1
        step()

    run.optimizer.step = dying


def identical(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype, name
        mine, theirs = (x.detach().reshape(-1).view(torch.uint8) for x in (value, other[name]))
        assert torch.equal(mine, theirs), name


def same_files(one, other):
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir())
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


@pytest.fixture
def folders(tmp_path):
    for name in ("straight", "broken"):
        (tmp_path / name).mkdir()
    return tmp_path / "straight", tmp_path / "broken"


@pytest.mark.parametrize("save_after", [-1.0, NEVER], ids=["rolling", "kept"])
@pytest.mark.parametrize("crash", [0, 7, 26, 39])
def test_resumed_after_a_crash_is_bit_identical(case, folders, crash, save_after):
    straight, broken = folders
    whole = case()
    expected = whole.record(straight, save_after=NEVER)
    first = case()
    crash_after(first, crash)
    with pytest.raises(Crash):
        first.record(broken, save_after=save_after)
    second = case()
    start = []
    found = second.record(broken, save_after=save_after, tick=start.append)
    assert found == expected
    if crash > 10:
        assert start[0] > 0  # it did go on from where it was
    identical(second.state(), whole.state())
    same_files(straight, broken)


def test_resumed_again_and_again(simple, folders):
    straight, broken = folders
    expected = simple().record(straight)

    def stop_at(last):
        def tick(step):
            if step >= last:
                raise Crash

        return tick

    for last in range(1, 40, 3):
        with pytest.raises(Crash):
            simple().record(broken, save_after=-1.0, tick=stop_at(last))
    assert simple().record(broken) == expected
    same_files(straight, broken)


def flip(path):
    """Change one bit of the last tensor's data: still a valid safetensors file."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    load_file(path)


DAMAGE = {
    "flipped": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "missing": lambda path: path.unlink(),
}


def recorded_and_interrupted(simple, straight, broken):
    """Record a run in one folder and interrupt it in the other; return what the whole run gives."""
    expected = simple().record(straight)
    first = simple()
    crash_after(first, 21)
    with pytest.raises(Crash):
        first.record(broken, save_after=-1.0)
    return expected


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize(
    "name", [checkpoint_name(0), checkpoint_name(7), checkpoint_name(15), "resume-000000018.safetensors", PROGRESS]
)
def test_a_damaged_file_is_passed_over(simple, folders, name, damage):
    straight, broken = folders
    expected = recorded_and_interrupted(simple, straight, broken)
    if name == PROGRESS and damage is flip:
        (broken / name).write_text("{")
    else:
        damage(broken / name)
    assert simple().record(broken) == expected
    same_files(straight, broken)


def test_flipped_bits_of_the_progress_never_change_a_result(simple, folders):
    straight, broken = folders
    expected = recorded_and_interrupted(simple, straight, broken)
    left = {path.name: path.read_bytes() for path in broken.iterdir()}
    digits = [place for place, byte in enumerate(left[PROGRESS]) if chr(byte).isdigit()]
    for place in digits[:: len(digits) // 40]:
        for path in broken.iterdir():
            path.unlink()
        for name, content in left.items():
            (broken / name).write_bytes(content)
        content = bytearray(left[PROGRESS])
        content[place] ^= 1  # another digit
        (broken / PROGRESS).write_bytes(content)
        assert simple().record(broken) == expected
        same_files(straight, broken)


def test_the_progress_of_another_run_does_not_count(simple, folders):
    straight, broken = folders
    expected = simple().record(straight)
    other, crashed = simple(seed=7), broken.with_name("other")
    crashed.mkdir()
    crash_after(other, 21)
    with pytest.raises(Crash):
        other.record(crashed, save_after=-1.0)
    for path in crashed.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    assert simple().record(broken) == expected
    same_files(straight, broken)


def follow(simple):
    """Return a run that records the losses of single training examples."""
    run = simple()
    run.followed = {"train"}
    return run


def test_a_crash_between_any_two_changes_of_files_loses_nothing_that_was_saved(simple, folders, monkeypatch):
    straight, broken = folders
    expected, safe, left = follow(simple).record(straight), [0], [0]
    run = follow(simple)

    def counted(plain):
        def change(path, *words, **more):
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            return plain(path, *words, **more)

        return change

    def saved(path, progress, **more):
        write_sealed(path, progress, **more)
        safe.append(run.step)

    changes, first = 0, []
    while True:
        with monkeypatch.context() as patch:
            patch.setattr(record, "write_sealed", saved)
            for name in ("replace", "unlink"):
                patch.setattr(Path, name, counted(getattr(Path, name)))
            run, left[0], safe[:] = follow(simple), changes, [0]
            try:
                run.record(broken, save_after=-1.0, resumable=True)
            except Crash:
                pass
            else:
                break
        first.clear()
        assert follow(simple).record(broken, tick=first.append) == expected
        assert (first or [40])[0] >= safe[-1]
        same_files(straight, broken)
        for path in broken.iterdir():
            path.unlink()
        changes += 17
    assert changes > 70
    assert follow(simple).record(broken) == expected
    same_files(straight, broken)


def test_a_run_that_has_ended_is_resumed_at_its_end(simple, folders):
    straight, broken = folders
    expected = follow(simple).record(straight, save_after=-1.0)
    assert follow(simple).record(broken, save_after=-1.0, resumable=True) == expected
    run, updates = follow(simple), []
    step = run.optimizer.step
    run.optimizer.step = lambda: updates.append(1) or step()
    assert run.record(broken, resumable=True) == expected
    assert updates == []
    end = load_tensors(straight / checkpoint_name(40))
    identical(run.weights(), end)
    kept = passing(path.name for path in broken.iterdir())
    assert PROGRESS in kept
    assert EXAMPLES not in kept
    (broken / checkpoint_name(40)).write_bytes(b"")
    assert follow(simple).record(broken) == expected
    same_files(straight, broken)


def test_what_an_earlier_version_left_is_gone_on_with(simple, folders):
    """It kept the whole state at every kept step, and overwrote one file of each kind."""
    straight, broken = folders
    expected = follow(simple).record(straight)
    every = simple.training.model_copy(update={"replay": 0.0})
    first = follow(replace(simple, training=every))
    crash_after(first, 21)
    with pytest.raises(Crash):
        first.record(broken, save_after=-1.0)
    progress = read_sealed(broken / PROGRESS)
    (rolling,) = broken.glob("resume-*")
    progress["files"]["resume.safetensors"] = progress["files"].pop(rolling.name)
    rolling.rename(broken / "resume.safetensors")
    (broken / progress["examples"]["name"]).rename(broken / EXAMPLES)
    write_sealed(broken / PROGRESS, progress | {"examples": checksum(broken / EXAMPLES)})
    between = checkpoint_name(10)
    assert between in progress["files"]
    assert between not in map(checkpoint_name, simple.training.restarts())
    wrong = load_tensors(broken / between)
    save_tensors(
        broken / between, {name: value + 1 if name.startswith("model.") else value for name, value in wrong.items()}
    )
    reached = []
    assert follow(simple).record(broken, tick=reached.append) == expected
    assert reached[0] > 15
    assert not (broken / between).exists()
    (broken / checkpoint_name(5)).unlink()  # whole, if not written today
    same_files(straight, broken)


def test_record_leaves_only_what_it_says(simple, tmp_path):
    result = simple().record(tmp_path, save_after=-1.0)
    written = [0, 7, 15, 22, 33, 40]
    assert sorted(p.name for p in tmp_path.iterdir()) == [checkpoint_name(step) for step in written]
    assert result["checkpoints"] == simple.training.kept() == [0, 5, 7, 10, 15, 22, 33, 40]
    restarts = [step for step in written if can_restart(tmp_path / checkpoint_name(step))]
    assert restarts == simple.training.restarts() == written[:-1]
    assert [row["step"] for row in result["rows"]] == simple.training.evaluated()
    assert (result["status"], result["steps"]) == ("completed", 40)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_run_that_diverges_says_so(simple, tmp_path, loss):
    training = Training(optimizer=SGD(lr=1e25), steps=50, loss=loss, checkpoint_from=1)
    result = simple(training=training).record(tmp_path)
    assert result["status"] == "diverged"
    last = result["rows"][-1]
    assert last["step"] == result["steps"] < 50
    assert last["train_loss"] is None
    assert last["train_accuracy"] is None
    assert all(row["train_loss"] is not None for row in result["rows"][:-1])
    assert result["checkpoints"] == [
        step for step in simple(training=training).training.kept() if step < result["steps"]
    ]
    json.dumps(result, allow_nan=False)
    files = list(tmp_path.iterdir())
    assert files
    for file in files:
        tensors = load_tensors(file)
        assert all(torch.isfinite(value).all() for name, value in tensors.items() if name.startswith("model."))
