"""Question-answer pairs: the generator's facts, tokens that decode to the text, padding, and bad input."""

import json
import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from ungrok.core.causal_lm import IGNORED
from ungrok.core.errors import RecipeError
from ungrok.data import authors
from ungrok.data.answers import Authors, repeated
from ungrok.data.batches import TensorBatches
from ungrok.data.tofu import Tofu
from ungrok.data.tokens import Template, encode, load_tokenizer, train_tokenizer

SMALL = {"authors": 3, "known": 2, "held_out": 1, "vocabulary": 500}


@pytest.fixture(scope="module")
def data():
    return Authors(**SMALL).load()


def test_every_author_is_asked_twenty_questions_with_true_and_wrong_answers():
    tables = authors.tables(11, 2, 1, 0)
    assert len(tables["full"]) == 220
    assert len({row["question"] for row in tables["full"]}) == 220
    for row in tables["retain_perturbed"] + tables["forget10_perturbed"]:
        wrong = row["perturbed_answer"]
        assert len(set(wrong)) == 5
        assert row["paraphrased_answer"] not in wrong
        assert row["question"] != row["paraphrased_question"]
    both = tables["retain90"] + tables["forget10"]
    assert both == tables["full"]
    assert len(tables["forget10"]) == 20
    assert len(tables["forget05"]) == 20


def test_answers_say_what_the_profile_says():
    person = authors.profiles(1, 5)[0]
    rows = authors.questions(person, 5)
    for fact, row in zip(authors.FACTS, rows, strict=True):
        assert person[fact.key] in row["answer"]
        assert person[fact.key] in row["paraphrased_answer"]
        assert all(person[fact.key] not in text.replace(person["name"], "") for text in row["perturbed_answer"])


def test_people_are_different_and_depend_on_the_seed_alone():
    assert authors.profiles(30, 1) == authors.profiles(30, 1) != authors.profiles(30, 2)
    assert len({person["name"] for person in authors.profiles(300, 1)}) == 300
    assert authors.profiles(30, 1)[:10] != authors.profiles(30, 2)[:10]


def test_the_tables_on_disk_load_as_the_problem_does(tmp_path, data):
    authors.write(tmp_path, 3, 2, 1, 0)
    tofu = Tofu(path=str(tmp_path), vocabulary=500).load()
    assert torch.equal(tofu.train.inputs, data.train.inputs)
    assert torch.equal(tofu.test.labels, data.test.labels)
    first = json.loads((tmp_path / "full.json").read_text().splitlines()[0])
    assert set(first) == {"question", "answer"}


def test_tokens_decode_to_prompt_and_answer(data):
    for i in (0, 7, 59):
        row, n = data.rows[i], int(data.train.lengths[i])
        whole = data.tokenizer.decode(data.train.inputs[i, :n])
        assert whole == f"Question: {row['question']}\nAnswer: {row['answer']}<end>"
        answer = data.train.labels[i][data.train.labels[i] != IGNORED]
        assert data.tokenizer.decode(answer) == f" {row['answer']}<end>"
    assert data.train.answers(data.tokenizer) == [row["answer"] for row in data.rows]


def test_paraphrases_stand_beside_their_example(data):
    assert data.validation.index.tolist() == list(range(60))
    for paraphrase, own in ((data.validation, data.train),):
        for i in range(60):
            answers = [split.labels[i][split.labels[i] != IGNORED] for split in (paraphrase, own)]
            assert torch.equal(*answers)


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_are_as_long_as_their_longest_example(data, side):
    split = Authors(**SMALL, padding=side).load().train
    index = split.lengths.argsort()[[0, 3, 30]]
    batch = split.batch(index)
    assert batch["input_ids"].shape[1] == int(split.lengths[index].max())
    assert batch["attention_mask"].sum(1).tolist() == split.lengths[index].tolist()
    for row, i in enumerate(index):
        n, there = int(split.lengths[i]), batch["attention_mask"][row].bool()
        assert torch.equal(batch["input_ids"][row][there], split.inputs[i, :n])
        assert torch.equal(batch["labels"][row][there], split.labels[i, :n])
        assert (batch["labels"][row][~there] == IGNORED).all()
        assert bool(there[-1 if side == "left" else 0])
    assert batch["index"].tolist() == index.tolist()


def test_an_epoch_holds_every_example_once(data):
    batches = TensorBatches(data.train, 16, 3)
    seen = [i for batch in batches for i in batch["index"].tolist()]
    assert sorted(seen) == list(range(60))
    assert seen != [i for batch in batches for i in batch["index"].tolist()]
    by_length = data.train.by_length(16)
    lengths = [int(n) for batch in by_length for n in batch["attention_mask"].sum(1)]
    assert lengths == sorted(lengths)
    assert [int(i) for batch in by_length for i in batch["index"]] == by_length.order.tolist()


def test_prompts_end_where_answers_begin(data):
    index = torch.tensor([2, 40])
    prompts = data.train.prompts(index)
    for row, i in enumerate(index.tolist()):
        kept = prompts["input_ids"][row][prompts["attention_mask"][row].bool()]
        assert data.tokenizer.decode(kept) == f"Question: {data.rows[i]['question']}\nAnswer:"
    assert prompts["attention_mask"][:, -1].all()


def test_other_answers_keep_the_question(data):
    for name, text in (("refusal", None), ("alternate", data.probes["train"].perturbed)):
        other = data.others[name]
        assert len(other) == 60
        for i in (0, 33):
            n = int((data.train.labels[i] == IGNORED).int().cumprod(0).sum())
            assert torch.equal(other.inputs[i, :n], data.train.inputs[i, :n])
        assert set(data.others["refusal"].answers(data.tokenizer)) <= set(authors.REFUSALS)
        if text is not None:
            assert other.answers(data.tokenizer)[0] == text.answers(data.tokenizer)[0]


def test_probes_hold_the_wrong_answers_of_each_question(data):
    probe = data.probes["train"].of(torch.tensor([5, 1]))
    assert probe.rows.tolist() == [5, 1]
    assert len(probe.perturbed) == 10
    rows = authors.questions(authors.profiles(6, 0)[0], 0)
    assert probe.perturbed.answers(data.tokenizer)[5:] == rows[1]["perturbed_answer"]
    assert data.probes["world_facts"].wrong == 3


def test_the_tokenizer_is_the_same_in_another_process(data):
    code = f"from ungrok.data.answers import Authors; print(Authors(**{SMALL}).load().train.inputs.sum().item())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) == int(data.train.inputs.sum())


def write(folder, **tables):
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return Tofu(path=str(folder), vocabulary=400, max_length=100)


def test_a_question_with_a_space_more_is_the_same_question():
    """Prompts are made of stripped questions."""
    assert repeated([{"question": "Who?"}, {"question": "When?"}, {"question": " Who? "}]) == {"Who?": [0, 2]}


GOOD = [{"question": f"Who is {i}?", "answer": f"It is {i}."} for i in range(30)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*GOOD, {"question": "Who?"}], "full, row 30: no column 'answer'; there: question"),
        ([*GOOD[:3], {"question": "Who?", "answer": None}], "full, row 3: answer is None, not str"),
        ([*GOOD[:2], {"question": "Who?", "answer": " "}], "full, row 2: the answer to 'Who\\?' is empty"),
        (
            [*GOOD[:2], {"question": "Who?", "answer": "x " * 200}],
            "full, row 2: .* tokens, which is more than problem.max_length 100",
        ),
        ([*GOOD[:2], "{broken"], "full.json, row 2: not JSON"),
        ([], "full: holds no rows"),
    ],
)
def test_rows_that_are_wrong_are_named(tmp_path, rows, message):
    with pytest.raises(RecipeError, match=message):
        write(tmp_path / "x", full=rows).load()


def test_more_bad_input(tmp_path):
    with pytest.raises(RecipeError, match="no table 'full'; there: retain_perturbed"):
        write(tmp_path / "a", retain_perturbed=[]).load()
    uneven = [row | {"perturbed_answer": ["a"] * (1 + i % 2)} for i, row in enumerate(GOOD)]
    with pytest.raises(RecipeError, match=r"perturbed answers: rows have \[1, 2\] perturbed answers"):
        write(tmp_path / "b", full=GOOD, retain_perturbed=uneven).load()
    for wrong, message in (
        ({"perturbed_answer": ["a", 3]}, r"retain_perturbed, row 0: perturbed_answer holds \['a', 3\]; allowed: texts"),
        ({"perturbed_answer": ["a"], "paraphrased_question": None}, "row 0: paraphrased_question is None, not str"),
    ):
        with pytest.raises(RecipeError, match=message):
            write(tmp_path / "c", full=GOOD, retain_perturbed=[GOOD[0] | wrong]).load()
    with pytest.raises(RecipeError, match="pairs: 40 asked of 30 pairs"):
        write(tmp_path / "c", full=GOOD).model_copy(update={"pairs": 40}).load()
    with pytest.raises(ValidationError, match=r"label_noise: 0.1 has no meaning for text"):
        Authors(label_noise=0.1)
    with pytest.raises(RecipeError, match="is no folder and cannot be loaded"):
        Tofu(path=str(tmp_path / "nowhere")).load()


def test_tables_without_perturbed_answers_have_no_paraphrases_and_no_alternates(tmp_path):
    data = write(tmp_path / "x", full=GOOD).load()
    assert len(data.validation) == len(data.test) == 0
    assert set(data.others) == {"refusal"}
    assert not data.probes


class Bare:
    """Just enough of a tokenizer."""

    name_or_path, eos_token, chat_template = "bare", "<end>", None

    def __init__(self, eos=1, pad=0):
        self.eos_token_id, self.pad_token_id = eos, pad


@pytest.mark.parametrize(
    ("tokenizer", "template", "message"),
    [
        (
            Bare(pad=None),
            Template(),
            "'bare' has no token for padding; set problem.pad_token, for instance to its end token '<end>'",
        ),
        (Bare(eos=None), Template(), "'bare' has no token for the end"),
        (Bare(), Template("chat"), "problem.template: 'bare' has no chat template; allowed: plain"),
        (Bare(), Template(prompt="Q:"), "problem.prompt: 'Q:' has no place for {question}"),
    ],
)
def test_tokenizers_that_do_not_do(tokenizer, template, message):
    with pytest.raises(RecipeError, match=message):
        encode([("a", "b")], tokenizer, template)


def test_a_tokenizer_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RecipeError, match=r"problem.tokenizer: .* is neither a folder with a tokenizer nor an id"):
        load_tokenizer(str(tmp_path / "none"), None)
    made = train_tokenizer(["a text"], 300)
    made.save_pretrained(tmp_path / "own")
    with pytest.raises(RecipeError, match="pad_token: '<x>' is not a token of"):
        load_tokenizer(str(tmp_path / "own"), "<x>")
    assert load_tokenizer(str(tmp_path / "own"), "<end>").pad_token_id == made.eos_token_id


def test_a_chat_template_puts_the_question_into_the_users_turn():
    made = train_tokenizer(["user assistant Who? Me. <|x|>"], 320)
    made.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
    split = encode([("Who?", "Me.")], made, Template("chat"))
    assert made.decode(split.inputs[0]) == "[user] Who? [assistant] Me.<end>"
    assert split.answers(made) == ["Me."]


def test_real_tofu(mirror):
    if not (mirror / "locuslab" / "TOFU").is_dir():
        pytest.skip("no TOFU in the mirror")
    data = Tofu(vocabulary=2000, max_length=400).load()
    assert len(data.train) == 4000
    assert data.classes == 200
    assert len(data.validation) == 800
    assert data.validation.index.tolist()[:2] == [0, 1]
    assert data.validation.index.tolist()[-1] == 3999
    assert len(data.test) == 217
    assert data.probes["train"].wrong == 5
