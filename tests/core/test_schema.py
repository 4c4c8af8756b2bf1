"""Canonical text, digests, and recipe parts that are closed to mistakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ungrok.core.schema import Schema, canonical, digest

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
