"""Files of weights of other programs: which checkpoint is of which step, what is read, and what is not."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors, save_tensors
from ungrok.core.weight_files import convert, fitting, read_weights, state_in, step_files


class Pickled:
    """What no reader of tensors knows."""


def network():
    return nn.Linear(3, 2)


def touch(*files):
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_the_step_is_the_last_number_in_a_name(tmp_path):
    names = ["model-2_000300.pt", "step-00000700.safetensors", "epoch12.ckpt"]
    touch(*(tmp_path / name for name in (*names, "final.pt", "notes-3.txt")))
    assert step_files(tmp_path, "checkpoints") == {
        300: tmp_path / names[0],
        700: tmp_path / names[1],
        12: tmp_path / names[2],
    }


def test_folders_of_a_trainer(tmp_path):
    new, old = tmp_path / "checkpoint-500" / "model.safetensors", tmp_path / "checkpoint-1000" / "pytorch_model.bin"
    touch(
        new,
        new.with_name("optimizer.pt"),
        old,
        tmp_path / "checkpoint-2000" / "optimizer.pt",
        tmp_path / "logs-1" / "x",
    )
    assert step_files(tmp_path, "checkpoints") == {500: new, 1000: old}


def test_the_weights_of_a_large_model_lie_in_several_files_of_a_folder(tmp_path):
    folder, state = tmp_path / "checkpoint-7", network().state_dict()
    folder.mkdir()
    for number, name in enumerate(state):
        save_tensors(folder / f"part-{number}.safetensors", {name: state[name]})
    index = folder / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {name: f"part-{number}.safetensors" for number, name in enumerate(state)}})
    )
    assert step_files(tmp_path, "checkpoints") == {7: index}
    read = read_weights(index, "checkpoints")
    assert {name: value.tolist() for name, value in read.items()} == {
        name: value.tolist() for name, value in state.items()
    }
    for broken in ("{}", "[1]", "{"):
        index.write_text(broken)
        with pytest.raises(RecipeError, match=r"checkpoints: '.*index\.json' cannot be read"):
            read_weights(index, "checkpoints")


def test_adapters_alone_are_refused(tmp_path):
    touch(tmp_path / "checkpoint-7" / "adapter_config.json", tmp_path / "checkpoint-7" / "adapter_model.safetensors")
    with pytest.raises(
        RecipeError, match=r"'.*checkpoint-7' holds adapters alone; save the merged weights, model\.merge_and_unload"
    ):
        step_files(tmp_path, "checkpoints")


@pytest.mark.parametrize(("written", "refused"), [({"format": 1}, False), ({"format": 2}, True), ([], True)])
def test_the_folder_of_a_recorder(tmp_path, written, refused):
    touch(tmp_path / "step-00000700.safetensors")
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    (tmp_path / "recorded.json").write_text(json.dumps(written))
    if refused:
        with pytest.raises(
            RecipeError, match=r"checkpoints: '.*recorded\.json' (has format 2; allowed: 1|cannot be read)"
        ):
            step_files(tmp_path, "checkpoints")
    else:
        assert step_files(tmp_path, "checkpoints") == {700: tmp_path / "step-00000700.safetensors"}


def test_two_files_of_one_step_and_a_folder_of_none_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="holds no checkpoints; allowed: a folder"):
        step_files(tmp_path, "checkpoints")
    with pytest.raises(RecipeError, match="holds no checkpoints"):
        step_files(tmp_path / "gone", "checkpoints")
    touch(tmp_path / "model-5.pt", tmp_path / "optimizer-5.pt")
    with pytest.raises(RecipeError, match=r"'.*model-5\.pt' and '.*optimizer-5\.pt' are both of step 5"):
        step_files(tmp_path, "checkpoints")


@pytest.mark.parametrize("wrap", [dict, lambda state: {"step": 3, "model": state, "optimizer": {"lr": 0.1}}])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "module._orig_mod."])
def test_a_state_dict_is_found_where_it_stands(tmp_path, wrap, prefix):
    model = network()
    torch.save(wrap({prefix + name: value for name, value in model.state_dict().items()}), tmp_path / "m.pt")
    state = state_in(read_weights(tmp_path / "m.pt", "--model"), {"weight", "bias"}, "m.pt")
    whole = fitting(network(), state, "m.pt")
    assert {name: value.tolist() for name, value in whole.items()} == {
        name: value.tolist() for name, value in model.state_dict().items()
    }


def test_the_names_of_a_models_own_parts_are_kept():
    state = {"module.weight": torch.ones(1)}
    assert state_in(state, {"module.weight"}, "m.pt") == state


@pytest.mark.parametrize("prefix", ["", "module."])
def test_of_two_state_dicts_of_the_model_none_is_taken_unasked(tmp_path, prefix):
    model, average = network().state_dict(), network().state_dict()
    content = {"ema": {prefix + name: value for name, value in average.items()}, "step": 3, "model": model}
    words = r"m\.pt: holds weights of the model under 'ema' and under 'model'; `ungrok convert FILE --key ema` writes those alone"
    with pytest.raises(RecipeError, match=words) as caught:
        state_in(content, {"weight", "bias"}, "m.pt")
    assert "\n" not in str(caught.value)
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(
        RecipeError, match=r"'.*m\.pt' holds weights under 'ema' and under 'model'; name one with --key"
    ):
        convert(tmp_path / "m.pt", tmp_path / "out.safetensors")
    for key, state in (("model", model), ("ema", content["ema"])):
        convert(tmp_path / "m.pt", tmp_path / "out.safetensors", key)
        chosen = load_tensors(tmp_path / "out.safetensors")
        assert {name: value.tolist() for name, value in chosen.items()} == {
            name: value.tolist() for name, value in state.items()
        }
    for key, words in (("emma", r"--key: 'emma' is not in .*; allowed: ema, model.*'ema'"), ("step", "--key: 'step'")):
        with pytest.raises(RecipeError, match=words):
            convert(tmp_path / "m.pt", tmp_path / "out.safetensors", key)


def test_the_same_weights_under_two_names_are_one():
    state = network().state_dict()
    content = {
        "model": state,
        "best": {name: value.clone() for name, value in state.items()},
        "head": {"bias": state["bias"]},
    }
    assert state_in(content, {"weight", "bias"}, "m.pt") == state


def test_converting_what_holds_tensors_alone_runs_no_code(tmp_path, monkeypatch):
    torch.save({"model": network().state_dict()}, tmp_path / "m.pt")
    load = torch.load
    monkeypatch.setattr(
        torch,
        "load",
        lambda *given, weights_only, **more: load(*given, weights_only=True, **more) if weights_only else 1 / 0,
    )
    convert(tmp_path / "m.pt", tmp_path / "out.safetensors")
    assert load_tensors(tmp_path / "out.safetensors").keys() == {"weight", "bias"}


def test_a_pickled_object_is_refused_in_one_sentence_that_names_the_way_out(tmp_path):
    file = tmp_path / "m.pt"
    torch.save({"model": network().state_dict(), "config": Pickled()}, file)
    with pytest.raises(RecipeError, match=rf"checkpoints: .*if you trust it, `ungrok convert {file}` writes") as caught:
        read_weights(file, "checkpoints")
    assert "\n" not in str(caught.value)
    convert(file, tmp_path / "m.safetensors")
    assert load_tensors(tmp_path / "m.safetensors").keys() == {"weight", "bias"}


def test_what_was_converted_takes_the_place_of_the_pickled_file(tmp_path):
    touch(tmp_path / "m5.pt", tmp_path / "m5.safetensors", tmp_path / "m6.pt")
    assert step_files(tmp_path, "k") == {5: tmp_path / "m5.safetensors", 6: tmp_path / "m6.pt"}


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_what_is_no_file_of_weights_is_refused_by_name(tmp_path, content):
    file = tmp_path / "m.pt"
    torch.save([1], file) if content is None else file.write_bytes(content)
    with pytest.raises(RecipeError, match=r"--model: '.*m\.pt' "):
        read_weights(file, "--model")
    with pytest.raises(RecipeError, match=r"'.*m\.pt' (cannot be read|holds no weights)"):
        convert(file, tmp_path / "out.safetensors")
    with pytest.raises(RecipeError, match=r"--model: '.*gone\.pt' cannot be read"):
        read_weights(tmp_path / "gone.pt", "--model")


def test_a_whole_module_is_converted(tmp_path):
    model = network()
    torch.save(model, tmp_path / "m.pt")
    convert(tmp_path / "m.pt", tmp_path / "m.safetensors")
    assert torch.equal(load_tensors(tmp_path / "m.safetensors")["weight"], model.weight)


def test_weights_that_do_not_fit_are_refused():
    good = dict(network().state_dict())
    for change, words in (
        ({"extra": torch.ones(1)}, "has extra, which the model does not have"),
        ({"bias": torch.ones(3)}, r"bias has shape \(3,\); the model has \(2,\)"),
        ({"bias": torch.ones(2).int()}, "holds bias as int32"),
        ({"bias": torch.full((2,), torch.nan)}, "not finite"),
    ):
        with pytest.raises(RecipeError, match=words):
            fitting(network(), good | change, "m.pt")
    with pytest.raises(RecipeError, match="is not whole; it lacks bias"):
        fitting(network(), {"weight": good["weight"]}, "m.pt")


def test_tied_weights_may_stand_once(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    save_tensors(tmp_path / "m.safetensors", {"0.weight": model[0].weight})
    state = state_in(read_weights(tmp_path / "m.safetensors", "k"), {*model.state_dict()}, "m")
    assert fitting(model, state, "m").keys() == {"0.weight", "1.weight"}
