"""Who holds which examples, and what a stress test refuses before any work."""

from typing import ClassVar, Literal

import pytest
import torch

from ungrok.audits import STRESS_TESTS, Setting, StressStep, StressTest
from ungrok.core.errors import NotApplicable, RecipeError

from .conftest import examples, material, network


class Twice(StressTest):
    """Yields the live model twice."""

    dose: ClassVar[str] = "level"
    kind: Literal["twice"] = "twice"

    def steps(self, model, material, setting):
        yield StressStep(0, 0, model)
        yield StressStep(1, 0, model)


@pytest.mark.parametrize(("share", "count"), [(None, 0), (0.0, 0), (0.01, 1), (0.1, 2), (0.5, 10), (0.99, 19)])
def test_a_share_of_twenty_examples(share, count):
    given = material()
    held, back = given.held(share), given.held_back(share)
    assert len(held) == count
    assert sorted([*held.tolist(), *back.tolist()]) == list(range(20))
    assert held.tolist() == sorted(held.tolist())
    assert back.tolist() == sorted(back.tolist())


def test_who_is_held_depends_on_seed_and_share_alone():
    small, large = material().held(0.1), material().held(0.5)
    assert set(small.tolist()) < set(large.tolist())
    other = material(retain=examples(9, 5), original=None)
    assert torch.equal(other.held(0.5), large)
    assert not torch.equal(material(seed=4).held(0.5), large)


def test_one_example_is_always_held_back():
    assert material(forget=examples(1, 1)).held_back(0.5).tolist() == [0]


def test_a_path_begins_with_a_copy_of_the_model():
    model = network()
    first, second = (step.model for step in Twice().path(model, material(), Setting()))
    assert first is second
    assert first is not model
    assert torch.equal(first[0].weight, model[0].weight)
    assert first[0].weight.data_ptr() != model[0].weight.data_ptr()


def test_what_is_missing_is_named():
    line = STRESS_TESTS.get("interpolate")(to="oracle")
    with pytest.raises(RecipeError, match=r"interpolate needs oracle=, which was not given"):
        line.path(network(), material(oracle=None), Setting())
    with pytest.raises(NotApplicable, match=r"extract: attacks language models only; this one is a classifier model"):
        STRESS_TESTS.get("extract")().path(network(), material(), Setting())
    with pytest.raises(RecipeError, match=r"retain: holds no examples"):
        Twice().path(network(), material(retain=[]), Setting())
    with pytest.raises(RecipeError, match=r"model: is a int; allowed: a torch.nn.Module"):
        Twice().path(3, material(), Setting())


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("relearn", {"lr": (0.01, 0.01)}),
        ("relearn", {"shares": (1.0,)}),
        ("relearn", {"lr": ()}),
        ("relearn", {"lr": (-0.1,)}),
        ("quantize", {"bits": (1,)}),
        ("quantize", {"bits": (8, 8)}),
        ("prune", {"shares": (True,)}),
        ("weight_noise", {"levels": (-1.0,)}),
        ("linear_probe", {"share": 1.0}),
        ("interpolate", {"to": "test"}),
    ],
)
def test_values_that_are_not_allowed(kind, settings):
    with pytest.raises(RecipeError, match=f"^{kind}: {next(iter(settings))}"):
        STRESS_TESTS.get(kind)(**settings)


def test_one_number_is_a_grid_of_one():
    assert STRESS_TESTS.get("relearn")(lr=0.1, shares=0.0).settings() == (Setting("share 0, lr 0.1", 0.0, 0.1),)


def test_labels():
    assert Twice().label == "twice"
    assert Twice(name="mine").label == "mine"
    line = STRESS_TESTS.get("interpolate")
    assert [line().label, line(to="oracle").label, line(name="line").label] == [
        "interpolate_original",
        "interpolate_oracle",
        "line",
    ]
