"""Hashes of examples."""

import hashlib
import hmac

import torch

from ungrok.audits.collected import Collected
from ungrok.core.contents import contents
from ungrok.core.objective import Classification
from ungrok.deletion.hashes import hashes, joined, seal_of, vocabulary_of


def pairs(*inputs):
    return Collected([(torch.tensor(inputs), torch.zeros(len(inputs), dtype=torch.int64))], Classification())


def test_a_hash_is_an_hmac_under_the_key():
    (example,) = contents((torch.tensor([[1.0]]), torch.tensor([0])), 1)
    assert hashes(pairs([1.0]), b"secret") == [hmac.new(b"secret", example, hashlib.sha256).hexdigest()]
    assert hashes(pairs([1.0]), b"secret") != hashes(pairs([1.0]), b"other")


def test_order_gives_nothing_away():
    each = hashes(pairs([1.0], [2.0], [3.0]), b"k")
    assert each == hashes(pairs([3.0], [1.0], [2.0]), b"k") == sorted(each)
    assert len(set(each)) == 3
    assert joined(each) == hashlib.sha256("".join(each).encode()).hexdigest()


class Tokenizer:
    def __init__(self, **vocabulary):
        self.get_vocab = lambda: vocabulary


def test_a_tokenizer_is_its_vocabulary():
    own = vocabulary_of(Tokenizer(cat=1, mat=2))
    assert own == vocabulary_of(Tokenizer(mat=2, cat=1)) == hashlib.sha256(b'{"cat":1,"mat":2}').hexdigest()
    assert vocabulary_of(Tokenizer(cat=2, mat=1)) != own
    assert vocabulary_of(object()) == hashlib.sha256(b'"object"').hexdigest()


def test_a_seal_is_of_all_but_itself():
    content = {"b": 0.5, "seal": "old", "a": [1]}
    assert seal_of(content, b"key") == hmac.new(b"key", b'{"a":[1],"b":0.5}', hashlib.sha256).hexdigest()
