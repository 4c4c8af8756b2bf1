"""Files of models and tokenizers: read whole, or refused in a sentence that names the file."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from ungrok.core import pretrained
from ungrok.core.errors import RecipeError
from ungrok.core.pretrained import check_model, open_model, open_tokenizer, refusing, tokenizer_in

WEIGHTS, Q_PROJ = "model.safetensors", "model.layers.0.self_attn.q_proj.weight"
TEMPLATE = "{% for turn in messages %}<{{ turn['role'] }}>{{ turn['content'] }}{% endfor %}"


@pytest.fixture
def folder(good, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return Path(shutil.copytree(good, tmp_path / "model"))


def opened(folder, file=None):
    return open_model(str(folder), file, None, torch.float32)


def test_a_good_folder_opens_and_leaves_the_random_state_alone(folder):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = opened(folder)
    assert torch.equal(torch.get_rng_state(), before)
    held = load_file(folder / WEIGHTS)
    state = model.state_dict()
    assert held.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in held.items())
    assert open_tokenizer(str(folder))("the cat")["input_ids"]
    assert open_tokenizer(str(folder), "m.gguf")("the cat")["input_ids"]


def rewritten(change):
    """Return what rewrites the weights of a folder."""

    def apply(path):
        save_file(change(load_file(path)), path, {"format": "pt"})

    return apply


def keys(**values):
    """Return what sets keys of a JSON file."""

    def apply(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return apply


def content(data):
    return lambda path: path.write_bytes(data)


def bytes_of(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


def pickle(path):
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()


def shard(weight_map):
    def apply(path):
        path.rename(path.with_name("one.safetensors"))
        path.with_name("model.safetensors.index.json").write_text(
            json.dumps({"metadata": {}, "weight_map": weight_map})
        )

    return apply


INDEX = "model.safetensors.index.json"
MODEL = [
    (WEIGHTS, rewritten(lambda w: {k: v for k, v in w.items() if k != Q_PROJ}), f"model' lacks the weights {Q_PROJ}$"),
    (
        WEIGHTS,
        rewritten(lambda w: {f"x.{k}": v for k, v in w.items()}),
        r"lacks the weights lm_head.weight, .* and 9 more",
    ),
    (
        WEIGHTS,
        rewritten(lambda w: w | {Q_PROJ: torch.ones(5, 32)}),
        rf"{Q_PROJ} has shape \(5, 32\); the configuration says \(32, 32\)",
    ),
    (
        WEIGHTS,
        rewritten(lambda w: w | {Q_PROJ: torch.full((32, 32), torch.nan)}),
        f"weights that are infinite or not a number in torch.float32: {Q_PROJ}",
    ),
    (
        WEIGHTS,
        rewritten(lambda w: w | {Q_PROJ: torch.ones(32, 32, dtype=torch.int64)}),
        f"model/model.safetensors holds {Q_PROJ} as I64; wanted: floating-point numbers",
    ),
    (WEIGHTS, bytes_of(lambda b: b[: len(b) // 2]), "model/model.safetensors is damaged"),
    (WEIGHTS, bytes_of(lambda b: b[:-1]), "model/model.safetensors is damaged"),
    (WEIGHTS, bytes_of(lambda b: b + b"x"), "model/model.safetensors is damaged"),
    (WEIGHTS, bytes_of(lambda b: struct.pack("<Q", 2**62) + b[8:]), "model/model.safetensors is damaged"),
    (WEIGHTS, bytes_of(lambda b: b.replace(b"F32", b"X32", 1)), "model/model.safetensors is damaged"),
    (WEIGHTS, content(b""), "model/model.safetensors is damaged"),
    (WEIGHTS, Path.unlink, "no file named model.safetensors"),
    (WEIGHTS, pickle, "model/pytorch_model.bin holds pickled weights, .*; allowed: safetensors"),
    (
        WEIGHTS,
        shard({Q_PROJ: "one.safetensors", "a": "two.safetensors"}),
        f"{INDEX} names two.safetensors, which is not",
    ),
    (WEIGHTS, shard({}), f"model/{INDEX} is no index of files"),
    (WEIGHTS, shard([1]), f"model/{INDEX} is no index of files"),
    (WEIGHTS, shard({"a": 3}), f"model/{INDEX} is no index of files"),
    ("config.json", content(b"[1]"), "model/config.json holds no JSON object"),
    ("config.json", content(b"\xff\xfe\0"), "model/config.json is no JSON"),
    ("config.json", content(b'{"a":' * 100_000), r"model/config.json is no JSON .*recursion"),
    ("config.json", Path.unlink, "is no folder with a model; it has no config.json"),
    ("config.json", keys(hidden_size="a"), "model/config.json describes no model .*hidden_size"),
    ("config.json", keys(hidden_size=33), "model/config.json describes no model .*33"),
    ("config.json", keys(hidden_size=10**9), "lm_head.weight has shape .* configuration says .300, 1000000000"),
    ("config.json", keys(num_attention_heads=0), "model/config.json describes no model"),
    ("config.json", keys(num_hidden_layers=2), r"lacks the weights model.layers.1.* and 6 more"),
    ("config.json", keys(vocab_size=-5), "model/config.json describes no model"),
    ("config.json", keys(vocab_size=310), r"lm_head.weight has shape \(300, 32\); the configuration says \(310, 32\)"),
    ("config.json", keys(model_type="nope"), "model/config.json describes no model .*nope"),
    ("config.json", keys(model_type=[]), "model/config.json describes no model"),
    ("config.json", keys(model_type="gpt2"), "lacks the weights"),
    ("config.json", keys(model_type="own", auto_map={"AutoConfig": "a.B"}), "model/config.json describes no model"),
    ("config.json", keys(hidden_act="nope"), "model/config.json describes no model .*nope"),
    ("config.json", keys(quantization_config=3), "model/config.json describes no model"),
    ("generation_config.json", content(b"null"), "model/generation_config.json holds no JSON object"),
    ("generation_config.json", content(b"{"), "model/generation_config.json is no JSON"),
]


@pytest.mark.parametrize(("file", "damage", "words"), MODEL, ids=range(len(MODEL)))
def test_a_damaged_model_is_refused_by_name(folder, file, damage, words):
    damage(folder / file)
    with pytest.raises(RecipeError, match=f"^model.path: .*{words}") as refused:
        opened(folder)
    assert len(str(refused.value)) < 400


def nested(*path, value):
    def apply(file):
        whole = json.loads(file.read_text())
        here = whole
        for key in path[:-1]:
            here = here[key]
        here[path[-1]] = value
        file.write_text(json.dumps(whole))

    return apply


TOKENIZER = "tokenizer.json"
TOKENIZERS = [
    (TOKENIZER, content(b"[]"), "model/tokenizer.json holds no JSON object"),
    (TOKENIZER, bytes_of(lambda b: b[:300]), "model/tokenizer.json is no JSON"),
    (TOKENIZER, content(b"{}"), "model/tokenizer.json is no tokenizer"),
    (TOKENIZER, nested("model", value=3), "model/tokenizer.json is no tokenizer"),
    (TOKENIZER, nested("model", "type", value="Nope"), "model/tokenizer.json is no tokenizer"),
    (TOKENIZER, nested("model", "vocab", value={}), "model/tokenizer.json is no tokenizer"),
    (TOKENIZER, nested("model", "merges", value=["zz qq"]), "model/tokenizer.json is no tokenizer"),
    (TOKENIZER, nested("added_tokens", 0, "id", value=-1), "model/tokenizer.json is no tokenizer"),
    (TOKENIZER, nested("decoder", value=3), "model/tokenizer.json is no tokenizer"),
    (
        TOKENIZER,
        nested("normalizer", value={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),  # a panic in Rust
        "model/tokenizer.json is no tokenizer",
    ),
    ("tokenizer_config.json", content(b"null"), "model/tokenizer_config.json holds no JSON object"),
    ("tokenizer_config.json", keys(eos_token=3), "model/tokenizer_config.json does not fit"),
    ("tokenizer_config.json", keys(eos_token={"content": 3}), "model/tokenizer_config.json does not fit"),
    ("tokenizer_config.json", keys(tokenizer_class=3), "model/tokenizer_config.json does not fit"),
    ("tokenizer_config.json", keys(added_tokens_decoder=3), "model/tokenizer_config.json does not fit"),
    ("tokenizer_config.json", keys(extra_special_tokens=3), "model/tokenizer_config.json does not fit"),
    ("chat_template.jinja", content(b"\xff"), "model/tokenizer_config.json does not fit"),
    ("config.json", content(b"[1]"), "model/config.json holds no JSON object"),
]


@pytest.mark.parametrize(("file", "damage", "words"), TOKENIZERS, ids=range(len(TOKENIZERS)))
def test_a_damaged_tokenizer_is_refused_by_name(folder, file, damage, words):
    damage(folder / file)
    with pytest.raises(RecipeError, match=f"^problem.tokenizer: .*{words}") as refused:
        open_tokenizer(str(folder))
    assert len(str(refused.value)) < 400


GGUFS = [
    content(b""),
    content(b"GGUF"),
    bytes_of(lambda b: b"GGUX" + b[4:]),
    bytes_of(lambda b: b[:4] + struct.pack("<I", 1) + b[8:]),
    bytes_of(lambda b: b[:8] + struct.pack("<Q", 2**63) + b[16:]),
    bytes_of(lambda b: b[:16] + struct.pack("<Q", 5) + b[24:]),
    bytes_of(lambda b: b[: len(b) // 50]),
    bytes_of(lambda b: b[: len(b) // 2]),
    bytes_of(lambda b: b.replace(b"blk.0.attn_q", b"blk.0.attn_X", 1)),
    bytes_of(lambda b: b.replace(b"token_embd", b"token_emXd", 1)),
    bytes_of(lambda b: b.replace(b"output_norm", b"output_norX", 1)),
    bytes_of(lambda b: b.replace(b"llama.embedding_length", b"llama.embedding_lengtX", 1)),
    bytes_of(lambda b: b.replace(b"general.architecture", b"general.architectuXe", 1)),
]


@pytest.mark.parametrize("damage", GGUFS, ids=range(len(GGUFS)))
def test_a_damaged_gguf_is_refused_by_name(folder, damage):
    damage(folder / "m.gguf")
    with pytest.raises(RecipeError, match=r"^model.file: /.*/model/m.gguf (cannot be opened|lacks the weights)"):
        opened(folder, "m.gguf")


def test_a_gguf_that_is_not_there_and_one_without_a_tokenizer(folder):
    with pytest.raises(RecipeError, match=r"model.file: '.*model' has no file 'n.gguf'; GGUF files there: m.gguf"):
        opened(folder, "n.gguf")
    with pytest.raises(
        RecipeError, match=r"problem.tokenizer_file: '.*' has no file 'n.gguf'; GGUF files there: m.gguf"
    ):
        open_tokenizer(str(folder), "n.gguf")
    for file in folder.glob("*.json"):
        file.unlink()
    bytes_of(lambda b: b.replace(b"tokenizer.ggml.tokens", b"tokenizer.ggml.tokenX"))(folder / "m.gguf")
    with pytest.raises(RecipeError, match=r"^problem.tokenizer_file: /.*/model/m.gguf holds no tokenizer"):
        open_tokenizer(str(folder), "m.gguf")


def test_weights_without_a_place_are_a_warning(folder):
    rewritten(lambda w: w | {"model.layers.1.mlp.up_proj.weight": torch.zeros(32, 32)})(folder / WEIGHTS)
    with pytest.warns(UserWarning, match=r"has no place for: model.layers.1.mlp.up_proj.weight"):
        opened(folder)


def test_a_model_is_checked_without_its_weights_being_read(folder, monkeypatch):
    """The check before training costs no memory for weights."""
    check_model(str(folder))
    monkeypatch.setattr(pretrained, "_load", None)
    MODEL[0][1](folder / WEIGHTS)
    with pytest.raises(RecipeError, match=f"lacks the weights {Q_PROJ}"):
        check_model(str(folder))


def test_a_gguf_is_read_once_and_again_when_it_has_changed(folder, monkeypatch):
    reads, read = [], AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *a, **k: (reads.append(k["gguf_file"]), read(*a, **k))[1]
    )
    one, two = opened(folder, "m.gguf"), opened(folder, "m.gguf")
    assert len(reads) == 1
    with torch.no_grad():
        one.lm_head.weight.zero_()
    three = opened(folder, "m.gguf")
    assert torch.equal(two.lm_head.weight, three.lm_head.weight)
    assert torch.equal(two.lm_head.weight, load_file(folder / WEIGHTS)["lm_head.weight"])
    tail = np.ones(8, np.float32).tobytes()
    bytes_of(lambda b: b[: -len(tail)] + tail)(folder / "m.gguf")
    changed = opened(folder, "m.gguf")
    assert len(reads) == 2
    assert any(not torch.equal(a, b) for a, b in zip(two.parameters(), changed.parameters(), strict=True))


def test_only_failures_are_turned_into_sentences():
    with pytest.raises(KeyboardInterrupt), refusing("a file"):
        raise KeyboardInterrupt
    with pytest.raises(RecipeError, match=r"^a file \(KeyError: 'x'\)$"), refusing("a file"):
        raise KeyError("x")
    with pytest.raises(RecipeError, match=r"^own$"), refusing("a file"):
        raise RecipeError("own")
    with pytest.raises(RecipeError) as refused, refusing("a file"):
        raise ValueError("a\n b" * 1000)
    assert str(refused.value).startswith("a file (a ba b")
    assert len(str(refused.value)) < 200


def tried(call, *arguments):
    """Return what a call gives, and the sentence by which it refuses."""
    try:
        return call(*arguments), ""
    except RecipeError as error:
        return None, str(error)


mutations = st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=8))


def mutated(data, mutation):
    place, cut, added = mutation
    start = int(place * len(data))
    return data[:start] + added + data[start + cut :]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.sampled_from([WEIGHTS, "config.json", "generation_config.json"]), mutations, st.booleans())
@pytest.mark.filterwarnings("ignore:.*has no place for")
def test_mutations_of_a_model_are_read_as_they_are_or_refused(good, tmp_path_factory, name, mutation, early):
    folder = tmp_path_factory.mktemp("mutated") / "model"
    shutil.copytree(good, folder)
    whole = (good / name).read_bytes()
    head = 1500 if early else len(whole)  # what a safetensors file says of itself stands at its start
    (folder / name).write_bytes(mutated(whole[:head], mutation) + whole[head:])
    model, refusal = tried(opened, folder)
    if model is None:
        assert str(folder) in refusal
    else:
        state = model.state_dict()
        held = load_file(folder / WEIGHTS)
        assert all(torch.equal(state[n], held[n].float()) for n in state)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from([TOKENIZER, "tokenizer_config.json", "chat_template.jinja"]), mutations)
def test_mutations_of_a_tokenizer_are_opened_or_refused(good, tmp_path_factory, name, mutation):
    folder = tmp_path_factory.mktemp("mutated") / "model"
    shutil.copytree(good, folder)
    (folder / name).write_bytes(mutated((good / name).read_bytes(), mutation))
    tokenizer, refusal = tried(open_tokenizer, str(folder))
    assert str(folder) in refusal if tokenizer is None else len(tokenizer) > 0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 255)), min_size=1, max_size=3), st.booleans())
def test_mutations_of_a_gguf_are_opened_or_refused(good, tmp_path_factory, changes, cut):
    folder = tmp_path_factory.mktemp("mutated")
    data = bytearray((good / "m.gguf").read_bytes())
    for place, value in changes:
        data[place] = value
    (folder / "m.gguf").write_bytes(data[: changes[0][0]] if cut else data)
    model, refusal = tried(opened, folder, "m.gguf")
    if model is None:
        assert "m.gguf" in refusal
    else:
        assert all(torch.isfinite(weight).all() for weight in model.state_dict().values())


def test_a_folder_without_the_files_of_a_tokenizer_has_none(folder):
    assert tokenizer_in(folder).get_vocab() == open_tokenizer(str(folder)).get_vocab()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    assert tokenizer_in(folder) is None
