"""Messages that name the value, what is allowed, and the nearest valid name."""

from ungrok.core.errors import (
    LONGEST_LIST,
    LONGEST_VALUE,
    RecipeError,
    clipped,
    first_line,
    listed,
    nearest,
    shown,
    shown_file,
    spoken,
    unknown,
)


def test_the_first_line_of_an_error_or_its_name():
    assert first_line(ValueError("\n  one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"


def test_a_first_line_that_announces_the_next_is_told_with_it():
    assert first_line(ValueError("it is wrong:\n  three heads\n  more")) == "it is wrong: three heads"
    assert first_line(ValueError("it is wrong:")) == "it is wrong:"


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


def test_values_are_shown_short():
    assert shown("abc") == "'abc'"
    assert len(shown("x" * 5000)) <= LONGEST_VALUE
    assert len(shown([list(range(1000))] * 1000)) <= LONGEST_VALUE
    assert shown(10**6000) == "a int too long to be shown"
    assert shown_file("a\nb") == "'a\\nb'"


def test_a_clipped_text_is_one_printable_line():
    assert clipped("a\n b", 10) == "a b"
    assert clipped("0123456789", 10) == "0123456789"
    assert clipped("0123456789a", 10) == "0123...89a"
    assert clipped("\x07\ud800", 20) == "\\x07\\ud800"


def test_many_names_are_counted():
    assert listed(["a", "b"]) == "a, b"
    assert listed(f"name{i:03d}" for i in range(100)).endswith("name017 and 82 others")
    assert len(listed(["x" * 1000] * 50)) <= LONGEST_LIST + 20


def test_words_are_spoken_with_and_before_the_last():
    assert [spoken(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
