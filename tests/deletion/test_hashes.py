"""Hashes of examples."""

import hashlib
import hmac

import torch

from ungrok.audits.collected import Collected
from ungrok.core.causal_lm import CausalLM
from ungrok.core.objective import Classification
from ungrok.deletion.hashes import example_bytes, hashes, joined


def pairs(*inputs):
    return Collected([(torch.tensor(inputs), torch.zeros(len(inputs), dtype=torch.int64))], Classification())


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
    assert example_bytes(batch) == one + two
    assert example_bytes((*batch, torch.tensor([17]))) == one + two  # an index is no part of the example


def test_a_hash_is_an_hmac_under_the_key():
    example = example_bytes((torch.tensor([[1.0]]), torch.tensor([0])))
    assert hashes(pairs([1.0]), b"secret") == [hmac.new(b"secret", example, hashlib.sha256).hexdigest()]
    assert hashes(pairs([1.0]), b"secret") != hashes(pairs([1.0]), b"other")


def test_order_gives_nothing_away():
    each = hashes(pairs([1.0], [2.0], [3.0]), b"k")
    assert each == hashes(pairs([3.0], [1.0], [2.0]), b"k") == sorted(each)
    assert len(set(each)) == 3
    assert joined(each) == hashlib.sha256("".join(each).encode()).hexdigest()


def test_a_text_is_the_same_whatever_its_padding():
    contents = {
        example_bytes(CausalLM().move(batch, torch.device("cpu")))
        for batch in (text([5, 6, 7], 3), text([5, 6, 7], 6), text([5, 6, 7], 6, "left"))
    }
    assert len(contents) == 1
    assert example_bytes(text([5, 6, 8], 3)) not in contents
