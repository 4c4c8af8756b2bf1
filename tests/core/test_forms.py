"""The forms in which batches and outputs come."""

from types import SimpleNamespace

import pytest
import torch

from ungrok.core.causal_lm import KEYS
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.forms import as_classes, as_parts, as_text, inputs_of, is_text, logits_in, parts_by_name

X, Y = torch.zeros(2, 4), torch.tensor([2, 0])


@pytest.mark.parametrize(
    "kind", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32]
)
@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_whole_numbers_are_classes(kind, shape):
    taken = as_classes(Y.to(kind).view(shape))
    assert (taken.dtype, taken.tolist()) == (torch.int64, [2, 0])


@pytest.mark.parametrize("targets", [Y.float(), Y.bool(), torch.eye(3).long()[Y], torch.tensor(2)])
def test_other_targets_stay_for_a_check_to_refuse(targets):
    assert as_classes(targets) is targets


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (X, r"a batch is a Tensor; allowed: .* for instance \[\(X, y\)\]"),
        ("ab", "a batch is a str"),
        ((X,), "a batch has 1 parts"),
        ((X, [2, 0]), "a batch holds a value of type list; allowed: tensors, for instance from a DataLoader"),
        (({"x": [1]}, Y), "a batch holds a value of type list"),
        ((X, Y, Y.float()), r"third part of a batch is torch.float32 of shape \(2,\).*identities"),
        ((X, Y, Y[:1]), r"third part of a batch is torch.int64 of shape \(1,\)"),
        ((X, Y, Y.int()), "third part of a batch is torch.int32"),
    ],
)
def test_batches_that_are_none(batch, message):
    with pytest.raises(RecipeError, match=message):
        as_parts(batch)


def test_keys_go_by_name():
    named = {
        "pixel_values": X,
        "mask": X,
        "label": Y,
        "index": Y,
        "source": ["a", "b"],
        "epoch": 3,
        "mean": torch.ones(3),
    }
    inputs, targets, index = parts_by_name(named)
    assert list(inputs) == ["pixel_values", "mask"]
    assert inputs["mask"] is X
    assert targets is index is Y
    assert len(parts_by_name({"x": X, "labels": Y})) == 2


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"x": X}, r"a batch is a dict with x, but no tensor 'labels'.*objective=CausalLM\(\)"),
        ({"labels": Y, "x": torch.ones(3, 4)}, "holds no inputs"),
        ({"input_ids": X, "labels": X}, r"a label for every token.*objective=CausalLM\(\)"),
    ],
)
def test_dicts_that_a_classifier_cannot_take(batch, message):
    with pytest.raises(RecipeError, match=message):
        parts_by_name(batch)


def test_texts_have_a_label_for_every_token():
    assert is_text({"input_ids": X, "labels": X})
    assert not any(
        map(is_text, [{"input_ids": X, "labels": Y}, {"labels": X}, (X, Y), {"input_ids": [[1]], "labels": [[1]]}])
    )


def test_padding_goes_to_the_right():
    """Rows of three, one and four tokens, padded on the left; a gap inside a row stays where it is."""
    mask = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 1], [1, 0, 1, 1]])
    ids = torch.tensor([[0, 5, 6, 7], [0, 0, 0, 8], [1, 2, 3, 4]])
    inner = {"input_ids": ids, "attention_mask": mask, "labels": ids}
    taken = as_text(inner | {"other": inner, "index": torch.arange(3)}, KEYS)
    for batch in (taken, taken["other"]):
        assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [8, 0, 0, 0], [1, 2, 3, 4]]
        assert batch["labels"].tolist() == batch["input_ids"].tolist()
        assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 1, 1]]
    assert taken["index"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("output", [X, {"logits": X}, SimpleNamespace(logits=X)])
def test_logits_are_the_output_or_in_it(output):
    assert logits_in(output) is X


@pytest.mark.parametrize(
    ("output", "named"), [((X, None), "tuple"), ({"scores": X}, "dict"), (Y, "torch.int64 tensor"), (None, "NoneType")]
)
def test_outputs_without_logits_are_refused(output, named):
    with pytest.raises(RecipeError, match=f"the model's output is a {named}; allowed: logits"):
        logits_in(output)


def test_inputs_that_are_moved_are_of_floating_point():
    assert inputs_of((X, Y), "jit", moved=True) is X
    with pytest.raises(NotApplicable, match="jit: moves inputs a little"):
        inputs_of((X.long(), Y), "jit", moved=True)
    with pytest.raises(NotApplicable, match=r"jit: takes batches of \(inputs, targets\), not inputs by name"):
        inputs_of(({"x": X}, Y), "jit", moved=True)


@pytest.mark.parametrize("batch", [(torch.ones(2), 1), [torch.ones(2), 1], (torch.ones(2), 1, 2)])
def test_inputs_stand_first(batch):
    assert inputs_of(batch, "any") is batch[0]


@pytest.mark.parametrize("batch", [(torch.ones(2),), ("a", torch.ones(2)), {"x": torch.ones(2)}, torch.ones(2, 2)])
def test_batches_without_inputs_and_targets_are_refused(batch):
    with pytest.raises(NotApplicable, match="any: takes batches of"):
        inputs_of(batch, "any")
