"""Deleting examples and verifying the record, from the command line."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from ungrok.core.files import load_tensors, read_json, save_tensors, write_json
from ungrok.deletion.inputs import weights_of

DATA = """
import torch
from torch import nn

def sets():
    draw = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(60, 8, generator=draw), torch.randint(0, 3, (60,), generator=draw)
    examples = list(zip(inputs, targets))
    return {"model": nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 3)), "train": examples[:40], "test": examples[40:]}
"""


@pytest.fixture
def user(ungrok, tmp_path):
    """Return a command line in a folder with a model, a module of data, and a file of indices; and its module's name."""
    name = f"user_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(DATA)
    space: dict = {}
    exec(DATA, space)
    given = space["sets"]()
    torch.manual_seed(0)
    model: nn.Module = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 3))
    inputs, targets = (torch.stack(part) for part in zip(*given["train"], strict=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    save_tensors(tmp_path / "w.safetensors", dict(model.state_dict()))
    (tmp_path / "gone.txt").write_text("3 5 7 11 13 17")
    words = ("--data", f"{name}:sets", "--forget", "gone.txt", "--record", "record.json")
    return ungrok, words, tmp_path


def test_a_deletion_and_its_verification(user):
    ungrok, words, folder = user
    attack = ("--attack", "{kind: relearn, shares: 0, updates: 5, lr: 0.05}")
    code, out, err = ungrok(
        "delete", "w.safetensors", "lr=0.1", "updates=20", "--method", "gradient_ascent", *words, *attack
    )
    assert code == 0, err
    record = read_json(folder / "record.json")
    assert out.splitlines()[-2:] == ["w-gradient_ascent.safetensors", "record.json"]
    assert record["remains"][0]["text"] in out
    assert record["place"] == {"model": "w.safetensors", "data": words[1], "forget": "gone.txt"}
    for name, file in (("original", "w.safetensors"), ("unlearned", "w-gradient_ascent.safetensors")):
        assert record["models"][name]["files"] == {file: hashlib.sha256((folder / file).read_bytes()).hexdigest()}
    model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 3))
    model.load_state_dict(load_tensors(folder / "w-gradient_ascent.safetensors"))
    assert record["models"]["unlearned"]["weights"] == weights_of(model)

    code, out, err = ungrok("delete", "--verify", "record.json", *words[:2])
    assert (code, out.startswith("Verified: run again on the same kind of machine")) == (0, True), out + err

    (folder / "gone.txt").write_text("3 5 7 11 13 18")
    code, out, _ = ungrok("delete", "--verify", "record.json", *words[:2])
    assert (code, "asked.forget: recorded 6 examples, now 6 examples, 1 of which" in out) == (1, True)

    (folder / "gone.txt").write_text("3 5 7 11 13 17")
    write_json(
        folder / "record.json",
        record | {"seed": 1, "accuracies": record["accuracies"] | {"unlearned": {"UA": 0, "RA": 0, "TA": 0}}},
    )
    code, out, _ = ungrok("delete", "--verify", "record.json", *words[:2])
    assert (code, "accuracies.unlearned.RA: recorded 0.0, now " in out) == (1, True)

    write_json(folder / "record.json", record | {"place": None})
    code, _, err = ungrok("delete", "--verify", "record.json")
    assert (code, "was made in Python; use ungrok.verify, or give MODEL and --data" in err) == (2, True)


def test_a_verification_calls_only_what_the_command_line_names(user):
    """And takes a renamed file of the original for what it is."""
    ungrok, words, folder = user
    made = ("lr=1", "updates=4", "--method", "gradient_ascent", *words, "--attack", "none")
    assert ungrok("delete", "w.safetensors", *made)[0] == 0
    (folder / "w.safetensors").rename(folder / "kept.safetensors")
    own = words[1].removesuffix(":sets")
    (folder / f"{own}_of_a_stranger.py").write_text("open('called', 'w')\n" + DATA)
    record = read_json(folder / "record.json")
    stranger = record | {"place": record["place"] | {"data": f"{own}_of_a_stranger:sets"}}
    write_json(folder / "stranger.json", stranger)
    code, out, err = ungrok("delete", "kept.safetensors", "--verify", "stranger.json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--data: is missing; 'stranger.json' names 'user_test" in err
    assert "which is imported and called only if you give it yourself" in err
    code, out, _ = ungrok("delete", "kept.safetensors", "--verify", "stranger.json", *words[:2])
    assert (code, [line.partition(":")[0] for line in out.splitlines()]) == (1, ["Not verified", "seal", "--data"])
    assert out.endswith(f"--data: {words[1]} was called; the record names {own}_of_a_stranger:sets.\n")
    assert not (folder / "called").exists()
    code, out, err = ungrok("delete", "kept.safetensors", "--verify", "record.json", *words[:2])
    assert (code, out.count("\n")) == (0, 1), out + err


def test_weights_that_torch_saved(user):
    ungrok, words, folder = user
    torch.save({"model": load_tensors(folder / "w.safetensors")}, folder / "w.pt")
    code, out, err = ungrok(
        "delete", "w.pt", "lr=1", "updates=4", "--method", "gradient_ascent", *words, "--attack", "none"
    )
    assert code == 0, err
    assert out.splitlines()[-2:] == ["w-gradient_ascent.safetensors", "record.json"]
    assert list(read_json(folder / "record.json")["models"]["original"]["files"]) == ["w.pt"]
    code, out, err = ungrok("delete", "--verify", "record.json", *words[:2])
    assert (code, out.startswith("Verified")) == (0, True), err


def test_unlearn_walks_the_same_path_and_keeps_no_record(user):
    """The table begins and ends where a record's accuracies do, and the new weights are those of a deletion."""
    ungrok, words, folder = user
    method = ("lr=1", "updates=4", "--method", "gradient_ascent")
    own, before = words[:4], {file.name for file in folder.iterdir()}
    code, out, err = ungrok("unlearn", *method, "--model", "w.safetensors", *own)
    assert (code, err) == (0, "")
    header, *rows, target = out.splitlines()
    assert (header, target) == ("dose,UA,RA,TA,forget_loss", "w-gradient_ascent.safetensors")
    assert {file.name for file in folder.iterdir()} - before - {"__pycache__"} == {target}
    assert [row.split(",")[0] for row in rows] == ["0.0", "1.0", "2.0", "3.0", "4.0"]
    new = load_tensors(folder / target)
    code, _, err = ungrok(
        "delete", "w.safetensors", *method, *words, "--attack", "none", "--out", "deleted.safetensors"
    )
    assert code == 0, err
    recorded = read_json(folder / "record.json")["accuracies"]
    for row, name in ((rows[0], "original"), (rows[-1], "unlearned")):
        assert [float(value) for value in row.split(",")[1:4]] == pytest.approx([*recorded[name].values()], abs=1e-6)
    assert all(torch.equal(value, new[name]) for name, value in load_tensors(folder / "deleted.safetensors").items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits", "--model", "w.safetensors"], "--data: goes without a RECIPE, and 'digits' is no setting"),
        (["lr=1", "--model", "w.safetensors", "--stage", "grokked"], "--model: excludes --stage"),
        (["lr=1", "--model", "w.safetensors", "--arm", "wide"], "--arm: goes with a recipe; with --data there is none"),
        (["lr=1", "--model", "w.safetensors", "--trained-on-split"], "--trained-on-split: goes with a recipe"),
        (["lr=1", "--model", "none.safetensors", "--method", "scrub"], "--model: 'none.safetensors' cannot be read"),
        (["width=1", "--model", "w.safetensors"], "scrub: no such key 'width'"),
        (["lr=1", "--model", "w.safetensors", "--method", "scrub", "--out", "x.pt"], "--out: 'x.pt' is not allowed"),
    ],
)
def test_what_unlearn_cannot_do_is_one_sentence(user, words, message):
    ungrok, own, folder = user
    code, out, err = ungrok("unlearn", *words, *own[:4])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not list(folder.glob("w-*"))


def test_a_folder_of_transformers_and_pairs_of_texts(ungrok, tmp_path, good):
    name = f"pairs_{tmp_path.name}".replace("-", "_")
    rows = "[('the cat', 'sat'), ('on the', 'mat'), ('the mat', 'sat'), ('the sat', 'cat')]"
    (tmp_path / f"{name}.py").write_text(f"def sets():\n    return {{'train': {rows}, 'test': {rows}[2:]}}\n")
    (tmp_path / "gone.txt").write_text("0 1")
    words = ("--data", f"{name}:sets", "--forget", "gone.txt", "--record", "r.json", "--out", "new", "--attack", "none")
    code, _, err = ungrok("delete", str(good), "lr=0.5", "updates=3", "--method", "gradient_ascent", *words)
    assert code == 0, err
    record = read_json(tmp_path / "r.json")
    assert (record["asked"]["forget"]["examples"], record["asked"]["retain"]["examples"], record["stress"]) == (
        2,
        2,
        [],
    )
    digest = hashlib.sha256((tmp_path / "new" / "model.safetensors").read_bytes()).hexdigest()
    assert record["models"]["unlearned"]["files"]["model.safetensors"] == digest
    assert {"config.json", "tokenizer.json"} <= record["models"]["unlearned"]["files"].keys()
    assert not [word for word in ("cat", "mat", "sat") if f'"{word}' in (tmp_path / "r.json").read_text()]
    assert ungrok("delete", "--verify", "r.json", *words[:2])[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--record": None}, "--record: is missing"),
        ({"--method": "scrubb"}, "'scrubb' is not known"),
        ({"--out": "new.bin"}, r"--out: 'new.bin' is not allowed; allowed: a file *.safetensors"),
        ({"--attack": "{lr: 1}"}, "--attack: kind is missing"),
        ({"--key": "no.key"}, "--key: 'no.key' cannot be read"),
        ({"--verify": "record.json"}, "--method: does not go with --verify"),
        ({"--tolerance": "0.5"}, "--tolerance: goes with --verify"),
        ({"lr": "fast"}, "gradient_ascent: lr: 'fast' is not allowed"),
    ],
)
def test_mistakes_are_one_sentence(user, change, message):
    ungrok, words, folder = user
    options = {"--method": "gradient_ascent", **dict(zip(words[::2], words[1::2], strict=True))} | change
    settings = [f"{key}={value}" for key, value in options.items() if not key.startswith("--")]
    chosen = [word for key, value in options.items() if key.startswith("--") and value for word in (key, value)]
    code, out, err = ungrok("delete", "w.safetensors", *settings, *chosen)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (folder / "record.json").exists()
