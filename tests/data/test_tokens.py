"""Tokens that decode to the text, padding, prompts, and tokenizers that do not do."""

import json
import subprocess
import sys

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from ungrok.core.causal_lm import IGNORED, CausalLM
from ungrok.core.errors import RecipeError
from ungrok.core.scores import AnswerScores
from ungrok.data.answers import Authors
from ungrok.data.batches import TensorBatches
from ungrok.data.tokens import EVALUATION_BATCH, Template, encode, load_tokenizer, train_tokenizer
from ungrok.models.language import Llama

SMALL = {"authors": 3, "known": 2, "held_out": 1, "vocabulary": 500}


@pytest.fixture(scope="module")
def data():
    return Authors(**SMALL).load()


def test_tokens_decode_to_prompt_and_answer(data):
    for i in (0, 7, 59):
        row, n = data.rows[i], int(data.train.lengths[i])
        whole = data.tokenizer.decode(data.train.inputs[i, :n])
        assert whole == f"Question: {row['question']}\nAnswer: {row['answer']}<end>"
        answer = data.train.labels[i][data.train.labels[i] != IGNORED]
        assert data.tokenizer.decode(answer) == f" {row['answer']}<end>"
    assert data.train.answers(data.tokenizer) == [row["answer"] for row in data.rows]


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


def test_the_tokenizer_is_the_same_in_another_process(data):
    code = f"from ungrok.data.answers import Authors; print(Authors(**{SMALL}).load().train.inputs.sum().item())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) == int(data.train.inputs.sum())


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
        *[
            (Bare(), Template(prompt=prompt), r"problem.prompt: .* cannot be filled .*; allowed: \{question\} alone")
            for prompt in (
                "{",
                "{answer}",
                "{0}",
                "{}",
                "{question.x}",
                "{question[9]}",
                "{question!r}",
                "{question:<9}",
                "{question}{x}",
            )
        ],
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


def sentencepiece_like(texts):
    """Return a tokenizer of Llama 2's kind: ▁ is put before whatever a text begins with, and stands for spaces."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.pre_tokenizer = pre_tokenizers.Split(
        "▁", "merged_with_next"
    )  # for the trainer alone: merges stay within words
    special = ["<unk>", "<s>", "</s>"]
    core.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=100, special_tokens=special, show_progress=False))
    learned = json.loads(core.to_str())["model"]
    vocabulary = learned["vocab"] | {f"<0x{i:02X}>": len(learned["vocab"]) + i for i in range(256)}
    merges = [tuple(pair) for pair in learned["merges"]]
    core.model = models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True)
    core.pre_tokenizer = None
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.post_processor = processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


ROW = ("Who wrote it?", "Anna Berg wrote it in Oslo.")


@pytest.mark.parametrize("answer", [ROW[1], "  Anna", "Zoë 東 Berg"])
def test_an_answer_has_the_tokens_that_it_has_after_its_prompt(answer):
    """By itself it would begin with a ▁ more: that of the space, and that which is put before a text."""
    made = sentencepiece_like(["Question: Who wrote it? Answer: Anna Berg wrote it in Oslo."] * 3)
    split = encode([(ROW[0], answer)], made, Template())
    whole = made(f"Question: {ROW[0]}\nAnswer: {answer.strip()}")["input_ids"]
    assert split.inputs[0].tolist() == whole
    labels = split.labels[0][split.labels[0] != IGNORED].tolist()
    assert made.decode(labels, skip_special_tokens=True).strip() == answer.strip()
    apart = made(f" {answer.strip()}", add_special_tokens=False)["input_ids"]
    assert len(labels) == len(apart) - 1 + 1  # one ▁ less, and the end


def test_a_token_that_prompt_and_answer_share_belongs_to_the_answer():
    made = sentencepiece_like(["x: abc", "x: abc"])
    made.backend_tokenizer.normalizer = None
    made.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    split = encode([("x: a", "bc")], made, Template("chat"))
    assert made.decode(split.labels[0][split.labels[0] != IGNORED], skip_special_tokens=True).endswith("bc")
    assert split.inputs[0].tolist() == [*made("x: abc", add_special_tokens=False)["input_ids"], 2]


class Slow(Bare):
    """One token for each character, and one for ``: x``; no word about where they lie."""

    is_fast = False

    def __call__(self, text, **_):
        return {"input_ids": [ord(c) for c in text.replace(": x", "\0")] + [1]}


def test_a_tokenizer_without_offsets_is_cut_after_the_prompts_tokens():
    split = encode([("q", "y")], Slow(), Template(prompt="{question}:"))
    assert split.inputs[0].tolist() == [*map(ord, "q: y"), 1]
    assert split.labels[0].tolist() == [IGNORED] * 2 + [ord(" "), ord("y"), 1]


def test_a_tokenizer_without_offsets_that_joins_prompt_and_answer_is_refused():
    with pytest.raises(RecipeError, match=r"problem\.tokenizer: 'bare' joins the end of a prompt to the answer"):
        encode([("q", "x")], Slow(), Template(prompt="{question}:"))


def test_an_evaluation_goes_by_length_and_scores_come_in_the_order_of_the_split(data):
    seen = [batch["input_ids"].shape for batch in data.train.evaluation(7)]
    assert [n for n, _ in seen] == [60]  # its own size counts, not the one asked for
    model = Llama(width=8, layers=1, heads=2, hidden=8).build(data.shape, data.outputs, 0)
    scores = data.train.score(model, CausalLM(data.train.eos))
    for i in (0, 13, 59):
        one = CausalLM(data.train.eos).score(model, [data.train.batch(torch.tensor([i]))])
        torch.testing.assert_close(scores.losses[i], one.losses[0], rtol=1e-5, atol=1e-5)
    many = data.train.of(torch.arange(60).repeat(3))
    assert [len(batch["index"]) for batch in many.evaluation(7)] == [EVALUATION_BATCH, EVALUATION_BATCH, 180 - 128]


def test_an_empty_split_of_pairs_has_empty_scores(data):
    scores = data.train.of(torch.arange(0)).score(torch.nn.Identity(), CausalLM())
    assert (type(scores), len(scores), scores.accuracy) == (AnswerScores, 0, None)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for %}", "cannot be filled .*Expected an expression"),
        ("{{ a.b.c }}", "cannot be filled .*'a' is undefined"),
        ("{{ raise_exception('no') }}", "cannot be filled .*no"),
        ("{{ 1/0 }}", "cannot be filled .ZeroDivisionError"),
        ("{{ ''.__class__.__mro__ }}", "cannot be filled .*unsafe"),
        ("{% include 'x' %}", "cannot be filled"),
        ("Who?", "leaves the question out"),
    ],
)
def test_a_bad_chat_template_is_refused(template, words):
    made = train_tokenizer(["Who? Me."], 300)
    made.name_or_path, made.chat_template = "mine", template
    with pytest.raises(RecipeError, match=f"^problem.template: the chat template of 'mine' {words}"):
        encode([("Who?", "Me.")], made, Template("chat"))


@pytest.mark.parametrize("pair", [("Q" * 9000, " "), ("Q" * 9000, "A")], ids=["empty", "long"])
def test_a_message_shows_the_beginning_of_a_long_question(data, pair):
    with pytest.raises(RecipeError, match=r"^data, row 0: .*'QQQ") as error:
        encode([pair], data.tokenizer, Template(max_length=20))
    assert len(str(error.value)) < 200


def test_text_that_a_tokenizer_cannot_take_is_named_by_its_row():
    class Fails:
        name_or_path, eos_token, eos_token_id, pad_token_id, chat_template, is_fast = "mine", "<end>", 1, 0, None, True

        def __call__(self, *_, **__):
            raise Exception("WordPiece error: Missing [UNK] token")  # noqa: TRY002 (as tokenizers does)

    with pytest.raises(RecipeError, match=r"^full, row 0: cannot be tokenized by 'mine' \(Exception: WordPiece error"):
        encode([("Who?", "Me.")], Fails(), Template(), where="full")
