"""The record of a run: resumed bit for bit after crashes and damage."""

import json

import pytest
import torch
from safetensors.torch import load_file

from ungrok.core.files import load_tensors
from ungrok.train.loop import Training
from ungrok.train.optimizers import SGD
from ungrok.train.record import PROGRESS, can_restart, checkpoint_name

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
    "name", [checkpoint_name(0), checkpoint_name(7), checkpoint_name(15), "resume.safetensors", PROGRESS]
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
