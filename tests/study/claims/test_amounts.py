"""Effects in words, against sentences written by hand."""

import math

import pytest

from ungrok.study.claims.amounts import amount, interval, natural
from ungrok.study.claims.verdicts import Effect


def ratio(value, low=-math.inf, high=math.inf):
    return Effect(math.log(value), (low, high), "updates", "log ratio")


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (ratio(5.5), "5.5 times"),
        (ratio(1 / 5.5), "5.5 times"),
        (ratio(353_612), "354,000 times"),
        (Effect(-0.026, unit="accuracy"), "2.6 percentage points"),
        (Effect(0.1234, unit="loss"), "0.123"),
    ],
)
def test_sizes_are_in_natural_units_and_large_ones_written_out(effect, words):
    assert natural(effect) == words


def test_an_amount_has_a_direction_unless_it_would_be_printed_as_none():
    assert amount(ratio(2), math.log(2), "fewer", "more") == "2 times fewer"
    assert amount(ratio(2), -math.log(2), "fewer", "more") == "2 times more"
    assert amount(ratio(2), 1e-4, "fewer", "more") == "no difference"


def test_an_interval_is_turned_to_the_direction_of_its_effect():
    assert interval(ratio(2, math.log(1.5), math.log(3))) == "[1.5, 3]"
    assert interval(ratio(1 / 2, -math.log(3), -math.log(1.5))) == "[1.5, 3]"
    assert interval(ratio(1 / 2, -math.inf, -math.log(1.5))) == "[1.5, no bound]"
    assert interval(ratio(2)) == "[no bound]"
    assert interval(Effect(0.1, (0.05, 0.15), "accuracy")) == "[5, 15]"
