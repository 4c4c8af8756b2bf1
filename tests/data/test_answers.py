"""Question-answer pairs: paraphrases, other answers, and what the data say of themselves."""

from dataclasses import replace

import pytest
import torch

from ungrok.core.causal_lm import IGNORED, CausalLM
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data import authors
from ungrok.data.answers import Authors, check_rows, repeated
from ungrok.data.forget import ForgetSplit
from ungrok.methods import UNLEARNERS

SMALL = {"authors": 3, "known": 2, "held_out": 1, "vocabulary": 500}


@pytest.fixture(scope="module")
def data():
    return Authors(**SMALL).load()


def test_paraphrases_stand_beside_their_example(data):
    assert data.validation.index.tolist() == list(range(60))
    for paraphrase, own in ((data.validation, data.train),):
        for i in range(60):
            answers = [split.labels[i][split.labels[i] != IGNORED] for split in (paraphrase, own)]
            assert torch.equal(*answers)


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


def test_a_question_with_a_space_more_is_the_same_question():
    """Prompts are made of stripped questions."""
    assert repeated([{"question": "Who?"}, {"question": "When?"}, {"question": " Who? "}]) == {"Who?": [0, 2]}


SPLIT = ForgetSplit(torch.tensor([3, 20]), torch.tensor([i for i in range(60) if i not in (3, 20)]), (0, 1))


def test_the_data_know_their_objective(data):
    objective = data.objective("causal_lm")
    assert (type(objective), objective.eos) == (CausalLM, data.tokenizer.eos_token_id)
    with pytest.raises(RecipeError, match="'mse' does not fit this problem; allowed: causal_lm"):
        data.objective("mse")
    assert data.fits((4, data.outputs), 4)
    assert data.fits((4, data.outputs + 24), 4)  # a model may have room for more tokens
    assert not any(data.fits(shape, 4) for shape in ((4, data.outputs - 1), (5, data.outputs), (4,)))


def test_the_base_part_takes_the_place_of_the_training_data(data):
    base = data.base_part()
    assert base.train is data.base
    assert base.test is data.test
    with pytest.raises(NotApplicable, match="no part for a base model"):
        replace(data, base=None).base_part()
    assert data.without(SPLIT).train.index.tolist() == SPLIT.retain.tolist()
    assert data.pairs() is data


def test_the_forget_part_carries_the_answers_that_a_method_needs(data):
    plain = data.forget_part(SPLIT, UNLEARNERS.get("npo")())
    assert plain.index.tolist() == [3, 20]
    assert plain.others == {}
    carried = data.forget_part(SPLIT, UNLEARNERS.get("idk_dpo")())
    assert list(carried.others) == ["refusal"]
    refusal, batch = data.others["refusal"].of(SPLIT.forget), carried.batch(slice(None))
    assert torch.equal(batch["refusal"]["input_ids"], refusal.batch(slice(None))["input_ids"])


def test_methods_that_do_not_fit(data):
    data.check_method(UNLEARNERS.get("alt_po")(), "authors")
    with pytest.raises(
        RecipeError, match="unlearn: 'unsir' runs on classifier models only; problem 'authors' has none"
    ):
        data.check_method(UNLEARNERS.get("unsir")(), "authors")
    with pytest.raises(
        RecipeError, match="'alt_po' needs 'alternate' answers, which problem 'tofu' does not have for every"
    ):
        replace(data, others={"refusal": data.others["refusal"]}).check_method(UNLEARNERS.get("alt_po")(), "tofu")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "Q" * 9000}, "full, row 1: no column 'answer'; there: question"),
        ({f"{'x' * 900}{i}": "" for i in range(9)}, "full, row 1: no column 'question'; there: xxx"),
        ("Q" * 9000, "full, row 1: no column 'question'; there: 'QQQ"),
        ({"question": "Q", "answer": ["A" * 9000] * 9}, "full, row 1: answer is ['AAA"),
        (
            {"question": "Q", "answer": "A", "perturbed_answer": ["A" * 9000, 3]},
            "full, row 1: perturbed_answer holds ['AAA",
        ),
    ],
)
def test_a_wrong_row_is_named_in_a_short_message(row, message):
    with pytest.raises(RecipeError) as error:
        check_rows([{"question": "Q", "answer": "A"}, row], "full")
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 300


def test_a_long_question_that_is_to_be_kept_and_forgotten_is_named_in_a_short_message(data):
    rows = [{"question": "Q" * 9000, "answer": "A"}] * 400
    with pytest.raises(NotApplicable) as error:
        replace(data, rows=rows).check_forget(torch.arange(3), "last-3")
    assert str(error.value).startswith("forget split 'last-3': the question 'QQQ")
    assert len(str(error.value)) < 390
