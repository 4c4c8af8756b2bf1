"""Messages that name the value, what is allowed, and the nearest valid name."""

from ungrok.core.errors import RecipeError, first_line, nearest, unknown


def test_the_first_line_of_an_error_or_its_name():
    assert first_line(ValueError("\n  one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"


def test_only_a_name_that_is_near_is_proposed():
    assert nearest("scurb", ["npo", "scrub"]) == " (did you mean 'scrub'?)"
    assert nearest("retrain", ["npo", "ssd"]) == ""


def test_an_unknown_name_is_told_with_all_that_are_known():
    error = unknown("loss", "cross_entropi", {"mse", "cross_entropy"})
    assert isinstance(error, RecipeError)
    assert isinstance(error, ValueError)
    assert (
        str(error) == "loss: 'cross_entropi' is not known; allowed: cross_entropy, mse (did you mean 'cross_entropy'?)"
    )


def test_a_name_that_is_only_half_alike_is_proposed_and_a_stranger_is_not():
    assert nearest("abcd", ["abxy"]) == " (did you mean 'abxy'?)"
    assert nearest("abcd", ["axyz"]) == ""
