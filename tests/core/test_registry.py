"""Named kinds: duplicates, wrong names, plug-ins and the discriminated union."""

import importlib
import sys
from importlib import metadata
from typing import Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from ungrok.core.errors import RecipeError
from ungrok.core.registry import Registry, summary
from ungrok.core.schema import Schema


class Apple(Schema):
    """A fruit.

    Not shown.
    """

    kind: Literal["apple"] = "apple"
    seeds: int = 5


class Banana(Schema):
    kind: Literal["banana"] = "banana"


@pytest.fixture
def registry():
    found = Registry("fruit", "ungrok.no_such_group")
    for cls in (Banana, Apple):
        assert found.register(cls) is cls
    return found


def test_names_are_sorted_and_classes_found(registry):
    assert registry.names() == ["apple", "banana"]
    assert registry.get("banana") is Banana


def test_registering_twice_is_fine_but_two_of_one_name_are_not(registry):
    registry.register(Apple)

    class Other(Schema):
        kind: Literal["apple"] = "apple"

    with pytest.raises(ValueError, match="two fruits are called 'apple'"):
        registry.register(Other)


def test_unknown_name_lists_the_names_and_the_nearest(registry):
    with pytest.raises(RecipeError, match=r"fruit: 'appel' is not known; allowed: apple, banana.*mean 'apple'"):
        registry.get("appel")
    with pytest.raises(RecipeError, match=r"allowed: apple, banana$"):
        registry.get("zzzz")


def test_union_picks_the_class_by_kind_and_never_switches(registry):
    union = TypeAdapter(registry.union())
    assert union.validate_python({"kind": "apple", "seeds": 3}) == Apple(seeds=3)
    assert union.validate_python({"kind": "banana"}) == Banana()
    for wrong in ({"kind": "banana", "seeds": 3}, {"kind": "pear"}, {"seeds": 3}):
        with pytest.raises(ValidationError):
            union.validate_python(wrong)


def test_union_of_one_class_validates_too():
    alone = Registry("fruit", "ungrok.no_such_group")
    alone.register(Apple)
    assert TypeAdapter(alone.union()).validate_python({"kind": "apple"}) == Apple()


def test_plug_ins_come_from_entry_points(monkeypatch):
    class Point:
        def load(self):
            return Banana

    monkeypatch.setattr(metadata, "entry_points", lambda group: [Point()] if group == "fruits" else [])
    assert Registry("fruit", "fruits").names() == ["banana"]
    assert Registry("fruit", "other").names() == []


def test_built_in_classes_are_imported_when_they_are_asked_for(tmp_path, monkeypatch):
    folder = tmp_path / "orchard"
    folder.mkdir()
    for name in ("cherry", "damson"):
        text = f"""
from typing import Literal
from orchard import FRUITS
from ungrok.core.schema import Schema

@FRUITS.register
class {name.title()}(Schema):
    kind: Literal["{name}"] = "{name}"
"""
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "__init__.py").write_text(
        "from ungrok.core.registry import Registry\n"
        'FRUITS = Registry("fruit", "ungrok.no_such_group", ("orchard", "FRUITS.register"))\n',
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    fruits = importlib.import_module("orchard").FRUITS
    assert fruits.names() == ["cherry", "damson"]
    assert not {"orchard.cherry", "orchard.damson"} & set(sys.modules)
    assert fruits.get("damson").__name__ == "Damson"
    assert "orchard.cherry" not in sys.modules
    assert type(TypeAdapter(fruits.union()).validate_python({"kind": "cherry"})).__name__ == "Cherry"
    with pytest.raises(RecipeError, match=r"allowed: cherry, damson.*mean 'damson'"):
        fruits.get("damsn")


def test_summary_is_the_first_line():
    assert summary(Apple) == "A fruit."
