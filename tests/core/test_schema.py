"""Canonical text, digests, and recipe parts that are closed to mistakes."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from ungrok.core.schema import Schema, canonical, digest, explain

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(plain)
def test_key_order_does_not_matter(value):
    assert canonical(reversed_keys(value)) == canonical(value)
    assert digest(reversed_keys(value)) == digest(value)


def test_known_text_and_digest():
    """Stored results are found by digest: it must not change between versions."""
    value = {"b": [1, 2.5, None], "a": {"y": True, "x": "é"}}
    assert canonical(value) == '{"a":{"x":"\\u00e9","y":true},"b":[1,2.5,null]}'
    assert digest(value) == "939075563d1fec2997dd324b"


@pytest.mark.parametrize(("one", "other"), [({"a": 1}, {"a": 1.0}), ([1, 2], [2, 1]), ({"a": None}, {}), ("1", 1)])
def test_different_content_has_different_digests(one, other):
    assert digest(one) != digest(other)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_numbers_have_no_canonical_text(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": value})


class Part(Schema):
    width: int = 3
    rate: float = 0.5


class Later(Part):
    optional = frozenset({"extra"})
    extra: float | None = None


class Whole(Schema):
    part: Later = Later()


def test_unknown_key_names_value_allowed_and_nearest():
    with pytest.raises(ValidationError, match=r"no such key 'widht' \(value 4\); allowed: width, rate.*'width'"):
        Part.model_validate({"widht": 4})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_settings_are_rejected(value):
    with pytest.raises(ValidationError, match="finite"):
        Part(rate=value)


def test_parts_are_frozen_and_dump_their_defaults():
    part = Part()
    with pytest.raises(ValidationError, match="frozen"):
        part.width = 4
    assert part.to_dict() == {"width": 3, "rate": 0.5}


def test_a_spec_leaves_out_optional_keys_at_their_default():
    assert Whole().to_dict() == {"part": {"width": 3, "rate": 0.5, "extra": None}}
    assert Whole().spec() == {"part": {"width": 3, "rate": 0.5}}
    assert Whole(part=Later(extra=1.0)).spec() == {"part": {"width": 3, "rate": 0.5, "extra": 1.0}}
    assert Whole.model_validate(Whole().spec()) == Whole()


def test_a_default_is_validated_as_a_value_is():
    class Wrong(Schema):
        width: int = "wide"

    with pytest.raises(ValidationError, match="valid integer"):
        Wrong()


class Red(Schema):
    kind: Literal["red"] = "red"
    depth: int


class Blue(Schema):
    kind: Literal["blue", "navy"] = "blue"
    navy: int = 0
    shade: int = 0


class Picture(Schema):
    frame: Later = Later()
    paint: Red | Blue = Field(Blue(), discriminator="kind")
    style: Literal["flat", "deep"] = "flat"
    sizes: tuple[int, ...] = ()
    edges: list[int] = Field([1], min_length=1)
    either: int | tuple[int, ...] = 0


def explained(content, prefix=""):
    with pytest.raises(ValidationError) as caught:
        Picture.model_validate(content)
    return explain(caught.value, content, prefix)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"frame": {"rate": "x"}},
            "frame.rate: 'x' is not allowed: input should be a valid number, unable to parse string as a number",
        ),
        (
            {"sizes": [1, "x", "y"]},
            "sizes.1: 'x' is not allowed: input should be a valid integer, unable to parse string as an integer (and 1 more)",
        ),
        (
            {"sizes": ["x", "y", "z"], "style": "flat"},
            "sizes.0: 'x' is not allowed: input should be a valid integer, unable to parse string as an integer (and 2 more)",
        ),
        (
            {"either": [1, "x"]},  # pydantic names the member of the union, which no list has
            "either: [1, 'x'] is not allowed: input should be a valid integer (and 1 more)",
        ),
        ({"style": "deap"}, "style: 'deap' is not allowed; allowed: flat, deep (did you mean 'deep'?)"),
        ({"paint": {"kind": "rde"}}, "paint.kind: 'rde' is not known; allowed: red, blue, navy (did you mean 'red'?)"),
        ({"paint": {"depth": 1}}, "paint.kind: is missing; it names what the block is"),
        ({"paint": {"kind": "red"}}, "paint.depth: is missing"),
        *[
            (
                {"paint": {"kind": "navy", "navy": 2, key: "x"}},
                f"paint.{key}: 'x' is not allowed: input should be a valid integer, unable to parse string as an integer",
            )
            for key in ("shade", "navy")  # a key may bear the name of its block's kind
        ],
        ({"frame": 3}, "frame: 3 is not a block of keys, for instance {key: value}"),
        ({"paint": 3}, "paint: 3 is not a block of keys, for instance {kind: ...}"),
        ({"sizes": "x"}, "sizes: 'x' is not allowed; allowed: a list"),
        (
            {"edges": ["x"]},
            "edges.0: 'x' is not allowed: input should be a valid integer, unable to parse string as an integer",
        ),
        ({"edges": []}, "edges: [] is not allowed; allowed: at least 1 item"),
        (
            {"frame": {"widht": 1}},
            "frame: no such key 'widht' (value 1); allowed: width, rate, extra (did you mean 'width'?)",
        ),
    ],
)
def test_the_first_error_in_a_sentence(content, sentence):
    assert explained(content) == sentence
    assert explained(content, "picture").startswith(f"picture.{sentence.split(':')[0]}: ")


class Worded(Schema):
    when: Literal["now or later", "first, then second", "never"] = "never"
    bits: Literal[8, 4, 2] = 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"when": "now or latter"},
            "when: 'now or latter' is not allowed; allowed: now or later, first, then second, never (did you mean 'now or later'?)",
        ),
        ({"bits": 3}, "bits: 3 is not allowed; allowed: 8, 4, 2"),
    ],
)
def test_names_of_several_words_are_one_name(content, message):
    with pytest.raises(ValidationError) as caught:
        Worded.model_validate(content)
    assert explain(caught.value, content) == message
