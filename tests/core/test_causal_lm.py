"""The objective against a loop over tokens; padding and parts must not matter."""

from collections import UserDict
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from ungrok.core.causal_lm import CausalLM, longest_suffix, run
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import backward, part_losses

V = 11


class Bigram(nn.Module):
    """Logits that depend on the last token alone, written into a table by hand."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.table[input_ids])


def make(rows, *, side="right", pad=0, length=None):
    """Return a batch from (question, answer) token lists, padded as told."""
    length = length or max(len(q) + len(a) for q, a in rows)
    ids, mask, labels = [], [], []
    for q, a in rows:
        gap = length - len(q) - len(a)
        for out, kept, blank in ((ids, q + a, pad), (mask, [1] * len(q + a), 0), (labels, [-100] * len(q) + a, -100)):
            out.append([blank] * gap + kept if side == "left" else kept + [blank] * gap)
    return {k: torch.tensor(v) for k, v in (("input_ids", ids), ("attention_mask", mask), ("labels", labels))}


ROWS = [([1, 2], [3, 4, 5, 9]), ([6], [7, 9]), ([2, 2, 2], [8, 1, 1, 1, 1, 9])]


@pytest.fixture
def table():
    return torch.randn(V, V, generator=torch.Generator().manual_seed(0), dtype=torch.float32) * 2


def slow_losses(table, rows):
    """Return every answer token's negative log-likelihood, example by example."""
    found = []
    for q, a in rows:
        tokens = q + a
        each = []
        for place in range(len(q), len(tokens)):
            z = table[tokens[place - 1]].double()
            each.append(float(torch.log(torch.exp(z).sum()) - z[tokens[place]]))
        found.append(each)
    return found


def test_losses_are_those_of_a_loop_over_answer_tokens(table):
    objective, batch = CausalLM(), make(ROWS)
    slow = slow_losses(table, ROWS)
    losses = objective.losses(objective.logits(Bigram(table), batch), batch)
    torch.testing.assert_close(losses, torch.tensor([sum(x) / len(x) for x in slow]), rtol=1e-6, atol=1e-6)
    flat = [x for each in slow for x in each]
    assert objective.mean(losses, batch).item() == pytest.approx(sum(flat) / len(flat), abs=1e-6)
    assert objective.counts(batch).tolist() == [4, 2, 6]
    assert int(objective.weight(batch)) == 12


@pytest.mark.parametrize(
    "change", [{"side": "left"}, {"pad": 7}, {"length": 30}, {"side": "left", "length": 17, "pad": 3}]
)
def test_padding_changes_nothing(table, change):
    objective, model = CausalLM(eos=9), Bigram(table)
    plain, other = make(ROWS), make(ROWS, **change)
    results = []
    for batch in (plain, other):
        model.zero_grad()
        losses = objective.losses(objective.logits(model, batch), batch)
        objective.mean(losses, batch).backward()
        results.append((losses.detach(), model.table.grad.clone(), *vars(objective.score(model, [batch])).values()))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_gradients_do_not_depend_on_the_parts(table, size):
    objective, batch = CausalLM(), make(ROWS)
    whole, parts = Bigram(table), Bigram(table)
    objective.mean(objective.losses(objective.logits(whole, batch), batch), batch).backward()
    value = backward(part_losses(lambda part: objective.logits(parts, part), batch, objective, size))
    torch.testing.assert_close(parts.table.grad, whole.table.grad, rtol=1e-5, atol=1e-7)
    flat = [x for each in slow_losses(table, ROWS) for x in each]
    assert float(value) == pytest.approx(sum(flat) / len(flat), rel=1e-5)


def slow_extraction(table, question, answer, eos):
    """Drop tokens from the front until greedy choices, after the true prefix, give the rest."""
    tokens = question + answer
    counted = [t for t in answer if t != eos]
    for k in range(len(counted) + 1):
        places = range(len(question) + k, len(question) + len(counted))
        if all(int(table[tokens[p - 1]].argmax()) == tokens[p] for p in places):
            return 1 - k / len(counted)
    raise AssertionError


def test_extraction_strength_and_matches_by_the_definition():
    objective = CausalLM(eos=9)
    table = torch.zeros(V, V)
    for before, after in ((2, 3), (4, 5), (8, 1), (1, 1), (6, 8)):
        table[before, after] = 1
    found = objective.score(Bigram(table), [make(ROWS)])
    assert found.matches.tolist() == pytest.approx([2 / 3, 0, 4 / 5])
    assert found.extraction.tolist() == pytest.approx([slow_extraction(table, q, a, 9) for q, a in ROWS])
    assert found.extraction.tolist() == pytest.approx([1 / 3, 0, 4 / 5])
    assert found.accuracy == pytest.approx((2 / 3 + 0 + 4 / 5) / 3)


def test_the_longest_correct_suffix():
    correct = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 0]], dtype=torch.bool)
    counted = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    assert longest_suffix(correct, counted).tolist() == [1, 2, 0]


def test_a_broken_example_is_not_a_number_and_the_split_has_diverged(table):
    table[7] = float("nan")
    objective, batch = CausalLM(), make(ROWS)
    found = objective.score(Bigram(table), [batch])
    assert torch.isnan(found.losses).tolist() == [False, True, False]
    assert found.diverged
    assert found.accuracy is None
    assert not found.of(torch.tensor([0, 2])).diverged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "no 'labels'"),
        ({"labels": torch.full((3, 9), -100)}, "no answer token"),
        ({"input_ids": torch.full((3, 9), 50)}, "input_ids hold 50; allowed: 0 to 10"),
        ({"attention_mask": torch.ones(3, 8, dtype=torch.int64)}, "attention_mask is"),
        ({"attention_mask": torch.zeros(3, 9, dtype=torch.int64)}, "a padded place has a label"),
    ],
)
def test_batches_that_cannot_be_learned_from(change, message):
    batch = make(ROWS) | change
    batch = {key: value for key, value in batch.items() if value is not None}
    with pytest.raises((RecipeError, RuntimeError), match=message):
        CausalLM().check(batch, torch.Size([3, V]))


def test_relabeling_changes_what_is_predicted_and_nothing_else(table):
    objective, batch = CausalLM(), make(ROWS)
    other = objective.relabel(batch, torch.arange(12) % V)
    assert objective.targets(other).tolist() == [i % V for i in range(12)]
    assert torch.equal(other["input_ids"], batch["input_ids"])
    assert torch.equal(objective.counts(other), objective.counts(batch))


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_first_token_of_a_text_is_never_predicted(table, side):
    """With a label on every token nothing stands before the first, be it padding or the edge of the batch."""
    batch = make([([], [3, 4, 5, 9]), ([], [7, 9])], side=side)
    objective, model = CausalLM(eos=9), Bigram(table)
    assert objective.counts(batch).tolist() == [3, 1]
    assert objective.targets(batch).tolist() == [4, 5, 9, 9]
    slow = [float(-table[a].log_softmax(0)[b]) for a, b in ((3, 4), (4, 5), (5, 9), (7, 9))]
    losses = objective.losses(objective.logits(model, batch), batch)
    assert losses.tolist() == pytest.approx([sum(slow[:3]) / 3, slow[3]], rel=1e-5)


def test_whatever_a_collator_makes_is_moved_as_a_dict():
    class Encoding(UserDict):
        pass

    extra = {
        "texts": ["a", "b", "c"],
        "version": 3,
        "lengths": [3, 4, 5],
        "about": {"of": "rows"},
        "weight": torch.ones(3),
    }
    nested = Encoding(make(ROWS) | {"refusal": Encoding(make(ROWS))} | extra)
    moved = CausalLM().move(nested, torch.device("meta"))
    assert type(moved) is type(moved["refusal"]) is dict
    assert moved["labels"].device.type == moved["refusal"]["input_ids"].device.type == "meta"
    assert moved.keys() == {*make(ROWS), "refusal", "weight"}  # what has a row for each example


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_are_counted_from_the_first_token_of_each_example(side):
    class Positions(nn.Module):
        def forward(self, input_ids, attention_mask, position_ids):
            return position_ids

    rows = [([1], [2, 3]), ([4, 5], [6, 7, 8]), ([1], [2])]
    batch = make(rows, side=side)
    positions = run(Positions(), batch)
    assert positions.shape == (3, 5)
    for row, mask, length in zip(positions, batch["attention_mask"].bool(), (3, 5, 2), strict=True):
        assert row[mask].tolist() == list(range(length))
        assert not row[~mask].lt(0).any()


@pytest.mark.parametrize(("token", "valid"), [(0, True), (V - 1, True), (-1, False), (V, False)])
def test_tokens_are_numbers_of_the_vocabulary(token, valid):
    batch = make([([1], [2, token, 3])])
    if valid:
        CausalLM().check(batch, torch.Size([3, V]))
    else:
        with pytest.raises(RecipeError, match=rf"hold {token}; allowed: 0 to {V - 1}"):
            CausalLM().check(batch, torch.Size([3, V]))


def test_a_forward_pass_keeps_no_cache_unless_asked():
    class Caching(nn.Module):
        def forward(self, input_ids, attention_mask, use_cache=True):
            return use_cache

    assert run(Caching(), make(ROWS)) is False
    assert run(Caching(), make(ROWS), use_cache=True) is True


def test_a_mean_over_tokens_keeps_what_each_token_has():
    """Rows of two numbers, and of a 2×2 matrix, for answers of four, two and six tokens."""
    objective, batch = CausalLM(), make(ROWS)
    rows = torch.arange(24.0).view(12, 2)
    expected = torch.stack([part.mean(dim=0) for part in rows.split([4, 2, 6])])
    torch.testing.assert_close(objective.by_example(rows, batch), expected)
    matrices = torch.stack([rows, -rows], dim=2)
    torch.testing.assert_close(objective.by_example(matrices, batch), torch.stack([expected, -expected], dim=2))
    assert (CausalLM.family, CausalLM.per_sample) == ("language", False)


def test_batches_of_different_lengths_are_joined_on_the_right(table):
    objective, long, short = CausalLM(), make(ROWS[2:]), make(ROWS[:2])
    index = {"index": torch.tensor([5, 6]), "classes": torch.tensor([1, 0])}
    both = objective.join(short | index, long | {"index": torch.tensor([7])})
    assert {key: value.tolist() for key, value in both.items()} == {
        "input_ids": [[1, 2, 3, 4, 5, 9, 0, 0, 0], [6, 7, 9] + [0] * 6, [2, 2, 2, 8, 1, 1, 1, 1, 9]],
        "attention_mask": [[1] * 6 + [0] * 3, [1] * 3 + [0] * 6, [1] * 9],
        "labels": [[-100, -100, 3, 4, 5, 9] + [-100] * 3, [-100, 7, 9] + [-100] * 6, [-100] * 3 + [8, 1, 1, 1, 1, 9]],
        "index": [5, 6, 7],
    }


@pytest.mark.parametrize(
    ("given", "kept"), [(torch.float16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)]
)
def test_logits_have_single_precision_at_least(given, kept):
    assert CausalLM().rows(torch.ones(3, 9, V, dtype=given), make(ROWS)).dtype == kept


@pytest.mark.parametrize("shape", [(3, 8, V), (9, 3, V), (27, V)])
def test_an_output_without_an_entry_for_each_token_is_refused(shape):
    with pytest.raises(NotApplicable, match=r"allowed: \(3, 9\) first"):
        CausalLM().rows(torch.ones(shape), make(ROWS))


def test_answers_of_one_token_and_of_none_but_the_end():
    """The end does not count: one right token of one is all of it, and of no token nothing is matched."""
    table = torch.zeros(V, V)
    table[2, 3] = table[3, 9] = table[6, 9] = 1
    scores = CausalLM(eos=9).score(Bigram(table), [make([([1, 2], [3, 9]), ([1, 6], [9])])])
    assert scores.matches.tolist() == [1, 0]
    assert scores.extraction.tolist() == [1, 0]


WRAPPERS = {
    "bare": lambda model: model,
    "parallel": nn.DataParallel,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "own": lambda model: Passing(model),
}


class Passing(nn.Module):
    """Hands on whatever it is given, and so names no argument."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, **given):
        return self.inner(**given)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_losses_of_padded_rows_are_those_of_the_rows_alone(side, wrapper):
    """GPT-2 with learned positions on rows of seven and three tokens; the slow way has one row a batch and no padding."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=16, n_embd=8, n_layer=2, n_head=2)).eval()
    with torch.no_grad():
        model.transformer.wpe.weight.mul_(50)  # so that a wrong position shows
    rows, objective = [([1, 2, 3], [4, 5, 6, 7]), ([8], [9, 10])], CausalLM()
    slow = []
    for question, answer in rows:
        ids = torch.tensor([question + answer])
        log_p = model(ids).logits[0, len(question) - 1 : -1].log_softmax(1)
        slow.append(-log_p[torch.arange(len(answer)), ids[0, len(question) :]].mean().item())
    batch = objective.move(make(rows, side=side), torch.device("cpu"))
    losses = objective.losses(objective.logits(WRAPPERS[wrapper](model), batch), batch)
    assert losses.tolist() == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("wrapper", ["bare", "parallel", "compiled"])
def test_positions_are_given_where_the_model_under_a_wrapper_takes_them(wrapper):
    class Positions(nn.Module):
        def forward(self, input_ids, attention_mask, position_ids):
            return position_ids

    positions = run(WRAPPERS[wrapper](Positions()), make([([1], [2, 3]), ([4, 5], [6, 7, 8])], side="left"))
    assert positions.tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [[1]]}, "labels is a list; allowed: int64"),
        (
            {"attention_mask": None},
            "a batch has no 'attention_mask'; allowed: a dict with input_ids, attention_mask, labels",
        ),
        ({"index": torch.ones(3)}, "index is torch.float32"),
        ({"index": torch.arange(2)}, r"index is torch.int64 of shape \(2,\); allowed: int64 of shape \(n,\)"),
        ({"refusal": make(ROWS) | {"labels": torch.full((3, 9), -100)}}, "refusal: an example has no answer token"),
    ],
)
def test_what_no_model_can_learn_from_is_said_without_one(change, message):
    batch = {key: value for key, value in (make(ROWS) | change).items() if value is not None}
    objective = CausalLM()
    with pytest.raises(RecipeError, match=message):
        objective.check_form(objective.move(batch, torch.device("cpu")))
    with pytest.raises(RecipeError, match="a batch is a tuple, but CausalLM takes a dict"):
        objective.move((batch["input_ids"],), torch.device("cpu"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_mask": torch.tensor([[1, 1, 2]])}, "attention_mask holds other numbers than 0 and 1"),
        ({"attention_mask": torch.tensor([[1, 1, -1]])}, "attention_mask holds other numbers than 0 and 1"),
        ({"index": [0]}, "index is a list; allowed: int64 of shape"),
    ],
)
def test_numbers_of_texts_and_lists_of_identities_are_refused(change, message):
    """Positions are counted with the mask: with the number of a text in it, they would be wrong."""
    batch = {key: torch.ones(1, 3, dtype=torch.int64) for key in ("input_ids", "attention_mask", "labels")}
    objective = CausalLM()
    objective.check_form(objective.move(batch, torch.device("cpu")))
    with pytest.raises(RecipeError, match=message):
        objective.check_form(objective.move(batch | change, torch.device("cpu")))


@pytest.mark.parametrize("eos", ["</s>", -1, 1.0, True, [1]])
def test_the_end_token_is_a_number(eos):
    with pytest.raises(RecipeError, match=r"^eos: .* is not allowed; allowed: the number of a token, or None"):
        CausalLM(eos)
