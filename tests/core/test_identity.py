"""Hashes of training examples."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from ungrok.core.errors import RecipeError
from ungrok.core.identity import content_hash, identity_of

X, Y = torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 2])


def test_keys_are_hashed_one_by_one():
    known = [hashlib.sha256(key).hexdigest() for key in (b"anna", b"7")]
    assert identity_of(["anna", 7]) == known
    assert identity_of(torch.tensor([7])) == known[1:]


def test_a_set_of_keys_has_one_identity_whatever_the_seed_of_pythons_hashes():
    names = ["anna", "bo", "cy", "di", "ed", "flo", 7]
    code = f"from ungrok.core.identity import identity_of; print(*identity_of(set({names})), *identity_of(frozenset({names})))"
    known = sorted(hashlib.sha256(str(name).encode()).hexdigest() for name in names)
    for seed in ("1", "2"):
        run = [sys.executable, "-c", code]
        said = subprocess.run(
            run, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert said.stdout.split() == known + known


def test_contents_are_the_same_in_any_order_and_any_form():
    known = identity_of((X, Y))
    assert known["count"] == 3
    assert len(known["sha256"]) == 64
    for other in (
        (X.flip(0), Y.flip(0)),
        TensorDataset(X, Y),
        list(zip(X, Y, strict=True)),
        (X.numpy(), Y.numpy()),
    ):
        assert identity_of(other) == known
    for other in ((X, Y.flip(0)), (X.double(), Y), (X[:2], Y[:2]), (torch.cat([X, X[:1]]), torch.tensor([0, 1, 2, 0]))):
        assert identity_of(other) != known


def test_no_two_examples_have_the_same_bytes():
    examples = [
        {"a": 1}, {"a": "1"}, {"a": 1.0}, {"a": None}, {"b": 1}, ["a", 1], [["a"], 1], "a1", b"a1", X, X[0], X.reshape(2, 3), X.bfloat16(), 1, True,
        np.float32(1), ["ab", "c"], ["a", "bc"],
    ]  # fmt: skip
    assert len({content_hash(example) for example in examples}) == len(examples)
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash(X) == content_hash(X.numpy())


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([], "examples: there are none"),
        (DataLoader(TensorDataset(X)), "give its data set"),
        ((X, Y[:2]), "one row for each example"),
        (iter([X]), "allowed: keys, a data set, a list of examples or"),
        (5, "is a int; allowed"),
        ([object()], "holds a object, which cannot be hashed; give keys of your own"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(examples, said):
    with pytest.raises(RecipeError, match=said):
        identity_of(examples)
