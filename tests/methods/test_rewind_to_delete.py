"""Rewind-to-delete: how far back, what the places are, and functions that do not do what they should."""

import copy

import pytest
import torch
from torch import nn

import ungrok
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.methods.rewind_to_delete import RewindToDelete


class Training:
    """Plain gradient descent on some batches, with every model kept."""

    def __init__(self, small, batches, updates=10):
        self.batches, self.updates, self.asked = batches, updates, []
        model, self.models = small.network(), []
        for place in self.on(model, updates):
            self.models.append(copy.deepcopy(place))

    def on(self, model, updates):
        yield model
        for _ in range(updates):
            for inputs, targets in self.batches:
                model.zero_grad()
                nn.functional.cross_entropy(model(inputs), targets).backward()
                with torch.no_grad():
                    for p in model.parameters():
                        p -= 0.1 * p.grad
            yield model

    def __call__(self, back):
        self.asked.append(back)
        yield from self.on(copy.deepcopy(self.models[self.updates - back]), back)


@pytest.fixture
def training(small):
    return Training(small, small.batches(seed=2))


def walk(small, training, rewound, **settings):
    path = RewindToDelete(**settings).path(
        training.models[-1], small.batches(seed=1), None, ungrok.Classification(), rewound=rewound
    )
    return path.budget, [(step.updates, step.dose, step.snapshot()) for step in path]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("settings", "back"), [({}, 5), ({"share": 0.3}, 3), ({"share": 1.0}, 10), ({"share": 1e-9}, 1), ({"updates": 4}, 4), ({"updates": 99}, 10)]
)  # fmt: skip
def test_it_goes_back_as_far_as_it_is_told(small, training, settings, back):
    budget, places = walk(small, training, training, **settings)
    assert training.asked == [back]
    assert budget == back
    assert [(updates, dose) for updates, dose, _ in places] == [(k, k) for k in range(1, back + 1)]


def test_where_nothing_is_left_out_the_path_comes_back_to_the_original_bit_for_bit(small, training):
    for back in (1, 4, 10):
        _, places = walk(small, training, training, updates=back)
        assert all(same(model, training.models[10 - back + k]) for k, _, model in places)
        assert same(places[-1][-1], training.models[-1])


def test_all_updates_back_is_the_model_that_never_saw_the_forget_set(small):
    retain = small.batches(seed=2, n=9)
    whole, oracle = Training(small, [*retain, *small.batches(seed=1)]), Training(small, retain)

    class Rewound(Training):
        def __call__(self, back):
            yield from oracle.on(copy.deepcopy(self.models[self.updates - back]), back)

    rewound = Rewound(small, whole.batches)
    ends = {share: walk(small, whole, rewound, share=share)[1][-1][-1] for share in (0.5, 1.0)}
    assert same(ends[1.0], oracle.models[-1])
    assert not same(ends[0.5], oracle.models[-1])
    assert not same(ends[0.5], whole.models[-1])


def test_a_plain_function_will_do_where_the_number_is_given(small, training):
    model = ungrok.unlearn(
        training.models[-1],
        forget=small.batches(seed=1),
        method="rewind_to_delete",
        updates=3,
        rewound=lambda back: training.on(copy.deepcopy(training.models[0]), back),
    )
    assert same(model, training.models[3])
    with pytest.raises(
        RecipeError, match="rewound has no attribute updates, of which to go back a share; give updates="
    ):
        walk(small, training, lambda back: training(back))


def test_a_model_that_was_never_trained(small):
    untrained = Training(small, small.batches(seed=2), updates=0)
    with pytest.raises(NotApplicable, match="rewind_to_delete: the model has made no update that could be taken back"):
        walk(small, untrained, untrained)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda t: lambda back: iter(t.models[:2]), "rewound: ended after 2 models; allowed: 6"),
        (lambda t: lambda back: iter([t.models[-1]]), "rewound: gave the model itself; allowed: a model of its own"),
        (lambda t: lambda back: iter([nn.Linear(2, 2)]), "rewound: gave a model whose .* has the shape"),
        (lambda t: lambda back: iter(["x"]), "rewound: returned a str; allowed: a model of its own"),
        (lambda t: lambda back: 5, "rewound: it cannot go back .*not iterable"),
        (lambda t: lambda back: (1 / 0 for _ in "x"), "rewound: it cannot go on .*division by zero"),
    ],
)
def test_functions_that_do_not_go_back(small, training, wrong, message):
    with pytest.raises(RecipeError, match=message):
        walk(small, training, wrong(training), updates=5)


def test_a_share_and_a_number():
    with pytest.raises(RecipeError, match=r"rewind_to_delete: .*give either share or updates"):
        RewindToDelete(share=0.5, updates=3)
