"""What examples hold, and which stand in two sets."""

import pytest
import torch

from ungrok.core.causal_lm import CausalLM
from ungrok.core.contents import Contents, contents
from ungrok.core.errors import RecipeError


def text(tokens, length, side="right"):
    """Return a batch of one text, padded to a length; its last two tokens are the answer."""
    room = length - len(tokens)
    parts = {"input_ids": (tokens, 0), "labels": ([-100] * (len(tokens) - 2) + tokens[-2:], -100)}
    parts["attention_mask"] = ([1] * len(tokens), 0)
    filled = {
        name: values + [fill] * room if side == "right" else [fill] * room + values
        for name, (values, fill) in parts.items()
    }
    return {name: torch.tensor([values]) for name, values in filled.items()}


def test_an_example_is_its_types_shapes_and_values():
    batch = (torch.tensor([[1.0, 2.0]]), torch.tensor([3]))
    one = b"[0] torch.float32 (1, 2)\n" + torch.tensor([1.0, 2.0]).numpy().tobytes()
    two = b"[1] torch.int64 (1,)\n" + (3).to_bytes(8, "little")
    assert contents(batch, 1) == [one + two]
    assert contents((*batch, torch.tensor([17])), 1) == [one + two]  # an index is no part of the example


def test_examples_of_one_batch_are_what_each_is_alone():
    inputs, targets = torch.arange(12.0).reshape(3, 2, 2).to(torch.bfloat16), torch.tensor([2, 0, 1])
    alone = [contents((inputs[i : i + 1], targets[i : i + 1]), 1)[0] for i in range(3)]
    assert contents((inputs, targets), 3) == alone
    named = contents(
        ({"x": inputs, "scale": torch.ones(7)}, targets), 3
    )  # what has no row for each example is none of theirs
    assert (len(set(named)), len(named[0])) == (3, len(alone[0]) + len("['x']"))


def test_a_text_is_the_same_whatever_its_padding():
    each = {
        contents(CausalLM().move(batch, torch.device("cpu")), 1)[0]
        for batch in (text([5, 6, 7], 3), text([5, 6, 7], 6), text([5, 6, 7], 6, "left"))
    }
    assert len(each) == 1
    assert contents(text([5, 6, 8], 3), 1)[0] not in each


def test_examples_that_stand_in_both_sets_are_counted():
    seen, zeros = Contents(), torch.zeros(4, dtype=torch.int64)
    seen.add("forget", (torch.arange(4.0)[:, None], zeros), 4)
    seen.add("test", (torch.arange(4.0)[:, None], zeros), 4)  # of a test set nothing is said
    seen.add("retain", (torch.arange(4.0, 8)[:, None], zeros), 4)
    seen.check()
    seen.add("retain", (torch.tensor([[2.0], [9.0], [1.0], [2.0]]), zeros), 4)
    with pytest.raises(RecipeError, match=r"^forget and retain share 2 examples by content"):
        seen.check()
