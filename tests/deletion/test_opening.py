"""Model and data from the command line."""

import textwrap

import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.core.files import save_tensors
from ungrok.data.tokens import Template, encode
from ungrok.deletion.opening import opened

from .conftest import network


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module of its own name with a function ``sets`` that returns some code's value."""
    monkeypatch.chdir(tmp_path)
    names = iter(range(9))

    def write(returned):
        name = f"opening_{tmp_path.name}_{next(names)}".replace("-", "_")
        text = f"import torch\nfrom torch import nn\n\ndef sets():\n    return {returned}\n"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return f"{name}:sets"

    return write


CLASSIFIER = (
    "{'model': lambda: nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3)), 'batch_size': 4,"
    "'train': [(torch.full((8,), float(i)), i % 3) for i in range(10)],"
    "'test': torch.utils.data.TensorDataset(torch.zeros(5, 8), torch.zeros(5, dtype=torch.int64))}"
)


def test_indices_part_the_training_examples(module, tmp_path):
    save_tensors(tmp_path / "w.safetensors", network(3).state_dict())
    (tmp_path / "gone.txt").write_text("7\n2\n")
    given = opened(tmp_path / "w.safetensors", module(CLASSIFIER), tmp_path / "gone.txt")
    firsts = {role: torch.cat([x[:, 0] for x, _ in given[role]]).tolist() for role in ("forget", "retain", "test")}
    assert firsts == {"forget": [2, 7], "retain": [0, 1, 3, 4, 5, 6, 8, 9], "test": [0] * 5}
    assert [len(y) for _, y in given["retain"]] == [4, 4]
    assert all(torch.equal(a, b) for a, b in zip(given["model"].parameters(), network(3).parameters(), strict=True))


def test_sets_of_batches_pass_as_they_are(module, tmp_path):
    save_tensors(tmp_path / "w.safetensors", network(3).state_dict())
    data = module(CLASSIFIER.replace("'train'", "'forget': [1], 'retain': [2], 'unused': 0, 'train'"))
    with pytest.raises(RecipeError, match=r"--data: 'unused' is not known; allowed: model, train"):
        opened(tmp_path / "w.safetensors", data, None)
    data = module(CLASSIFIER.replace("'train'", "'forget': [1], 'retain': [2], 'train'"))
    given = opened(tmp_path / "w.safetensors", data, None)
    assert (given["forget"], given["retain"]) == ([1], [2])


def test_pairs_of_texts_are_encoded_by_the_tokenizer_of_the_folder(module, tmp_path, good):
    (tmp_path / "gone.txt").write_text("[1]")
    rows = "[('the cat', 'sat'), ('on the', 'mat'), ('the mat', 'cat')]"
    data = module(f"{{'train': {rows}, 'test': [{{'question': 'cat', 'answer': 'mat'}}], 'prompt': '{{question}}:'}}")
    given = opened(good, data, tmp_path / "gone.txt")
    tokenizer = given["tokenizer"]
    wanted = encode([("on the", "mat")], tokenizer, Template("plain", "{question}:")).batch(slice(None))
    (batch,) = given["forget"]
    assert all(torch.equal(batch[name], wanted[name]) for name in ("input_ids", "attention_mask", "labels"))
    assert [len(batch["labels"]) for batch in given["retain"]] == [2]
    assert given["objective"].eos == tokenizer.eos_token_id


def test_tokens_are_padded(module, tmp_path, good):
    (tmp_path / "gone.txt").write_text("0")
    row = "{'input_ids': [5, 6, 7], 'labels': [-100, 6, 7]}"
    data = module(f"{{'train': [{row}, {row}, {{'input_ids': [5, 6], 'labels': [-100, 6]}}], 'test': [{row}]}}")
    (batch,) = opened(good, data, tmp_path / "gone.txt")["retain"]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [-100, 6, -100]]


def test_weights_that_torch_saved_are_read(module, tmp_path):
    """A state dict beside an optimizer's, of a model under DataParallel; what would run code is refused."""
    state = {f"module.{name}": value for name, value in network(3).state_dict().items()}
    torch.save({"weights": state, "optimizer": {"lr": 0.1}}, tmp_path / "w.pt")
    (tmp_path / "gone.txt").write_text("7")
    given = opened(tmp_path / "w.pt", module(CLASSIFIER), tmp_path / "gone.txt")
    assert all(torch.equal(a, b) for a, b in zip(given["model"].parameters(), network(3).parameters(), strict=True))
    torch.save(network(3), tmp_path / "w.pt")
    with pytest.raises(RecipeError, match=r"^--model: '.*w.pt' holds more than tensors.*ungrok convert"):
        opened(tmp_path / "w.pt", module(CLASSIFIER), tmp_path / "gone.txt", "--model")


def test_keys_name_all_examples_of_theirs(module, tmp_path):
    """Keys are compared as texts; several examples may have one."""
    save_tensors(tmp_path / "w.safetensors", network(3).state_dict())
    data = module(CLASSIFIER.replace("'batch_size'", "'keys': ['Ann Lee', 'Bo', 7] * 3 + ['Bo'], 'batch_size'"))
    for text, wanted in (("Bo\n", [1, 4, 7, 9]), ("\n 7\r\nAnn Lee \n", [0, 2, 3, 5, 6, 8])):
        (tmp_path / "gone.txt").write_text(text)
        given = opened(tmp_path / "w.safetensors", data, tmp_path / "gone.txt")
        assert torch.cat([x[:, 0] for x, _ in given["forget"]]).tolist() == wanted
        assert torch.cat([x[:, 0] for x, _ in given["retain"]]).tolist() == sorted({*range(10)} - {*wanted})


@pytest.mark.parametrize(
    ("keys", "text", "message"),
    [
        ("'abcdefghij'", "b\nk\n", r"^--forget: '.*gone.txt': 'k' is the key of no training example"),
        ("'abc'", "b", r"^--data: 'keys' holds 3 for 10 examples of 'train'; allowed: one each"),
        ("'a' * 10", "a", "names 10 of 10 training examples; allowed: 1 to 9"),
        ("'abcdefghij'", " \n", "names 0 of 10 training examples"),
        ("3", "3", r"^--data: 'keys' is a int; allowed: a text or whole number for each example of 'train'"),
    ],
)
def test_keys_that_name_nothing_usable(module, tmp_path, keys, text, message):
    save_tensors(tmp_path / "w.safetensors", network(3).state_dict())
    (tmp_path / "gone.txt").write_text(text)
    data = module(CLASSIFIER.replace("'batch_size'", f"'keys': {keys}, 'batch_size'"))
    with pytest.raises(RecipeError, match=message):
        opened(tmp_path / "w.safetensors", data, tmp_path / "gone.txt")


@pytest.mark.parametrize("listed", [None, "0 2"])
def test_tensors_and_data_sets_are_taken_as_a_sweep_takes_them(module, tmp_path, listed):
    """Both ways of naming what is to go give the same batches."""
    save_tensors(tmp_path / "w.safetensors", network(3).state_dict())
    (tmp_path / "gone.txt").write_text("0 2")
    whole = "(torch.arange(40.).reshape(5, 8), torch.arange(5) % 3)"
    test = "torch.utils.data.TensorDataset(torch.ones(3, 8), torch.arange(3))"
    model = "nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3))"
    sets = (
        f"'train': {whole}"
        if listed
        else "'forget': "
        + whole.replace("(5, 8)", "(5, 8)[[0, 2]]").replace("5) % 3", "5)[[0, 2]] % 3")
        + ", 'retain': "
        + whole.replace("(5, 8)", "(5, 8)[[1, 3, 4]]").replace("5) % 3", "5)[[1, 3, 4]] % 3")
    )
    data = module(f"{{'model': {model}, 'batch_size': 2, 'test': {test}, {sets}}}")
    given = opened(tmp_path / "w.safetensors", data, tmp_path / "gone.txt" if listed else None)
    firsts = {role: [x[:, 0].tolist() for x, _ in given[role]] for role in ("forget", "retain", "test")}
    assert firsts == {"forget": [[0, 16]], "retain": [[8, 24], [32]], "test": [[1, 1], [1]]}
    assert [y.tolist() for _, y in given["retain"]] == [[1, 0], [1]]


@pytest.mark.parametrize(
    ("returned", "listed", "message"),
    [
        ("{}", None, "gives no 'model'"),
        ("{'model': nn.Linear(2, 2)}", None, r"MODEL: '.*' has 0.bias, .* which the model that --data gives does not"),
        ("{'model': 7}", None, "'model' cannot be called"),
        ("{'model': lambda: 7}", None, "'model': is a int; allowed: a torch.nn.Module"),
        (CLASSIFIER, None, "gives no 'forget'; name what is to go with --forget FILE"),
        (CLASSIFIER.replace("'train'", "'forget'"), "1", "gives no 'train', of which .* so leave out --forget"),
        (CLASSIFIER, "10", "'10' is no training example; allowed: 0 to 9"),
        (CLASSIFIER.replace("'test': ", "'test': 3, 'base': "), "1", "'test' is a int; allowed: examples that can be"),
    ],
)
def test_what_does_not_belong_together_is_named(module, tmp_path, returned, listed, message):
    save_tensors(tmp_path / "w.safetensors", network().state_dict())
    if listed:
        (tmp_path / "gone.txt").write_text(listed)
    with pytest.raises(RecipeError, match=message):
        opened(tmp_path / "w.safetensors", module(returned), tmp_path / "gone.txt" if listed else None)
