"""Named kinds: duplicates, wrong names, plug-ins and the discriminated union."""

import sys
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from ungrok.core import registry as module
from ungrok.core.errors import RecipeError, UngrokWarning
from ungrok.core.registry import Registry, summary
from ungrok.core.schema import UNUSABLE, Schema, explain


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
    fruits = Registry("fruit", "ungrok.no_such_group")
    for cls in (Banana, Apple):
        assert fruits.register(cls) is cls
    return fruits


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


FRUIT = """
from typing import Literal
from ungrok.core.schema import Schema
from orchard import FRUITS
@FRUITS.register
class Fruit(Schema):
    kind: Literal["{name}"] = "{name}"
"""


def test_a_union_imports_the_classes_that_are_named(monkeypatch, tmp_path):
    folder = tmp_path / "orchard"
    folder.mkdir()
    made = 'FRUITS = Registry("fruit", "ungrok.no_such_group", ("orchard", "FRUITS.register"))'
    (folder / "__init__.py").write_text(f"from ungrok.core.registry import Registry\n{made}")
    for name in ("quince", "sloe"):
        (folder / f"{name}.py").write_text(FRUIT.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    union = TypeAdapter(import_module("orchard").FRUITS.union())
    assert not {"orchard.quince", "orchard.sloe"} & set(sys.modules)
    chosen = union.validate_python({"kind": "quince"})
    assert (type(chosen).__module__, union.dump_python(chosen)) == ("orchard.quince", {"kind": "quince"})
    assert union.validate_python(chosen) is chosen
    assert "orchard.sloe" not in sys.modules
    with pytest.raises(ValidationError) as error:
        union.validate_python({"kind": "slow"})
    said = "fruit.kind: 'slow' is not known; allowed: quince, sloe"
    assert explain(error.value, {"kind": "slow"}, "fruit").startswith(said)


class Point:
    def __init__(self, cls, name="plugged"):
        self.cls = cls
        self.name = name

    def load(self):
        if isinstance(self.cls, BaseException):
            raise self.cls
        return self.cls


class Points(dict):
    def select(self, group):
        return self.get(group, [])


def test_plug_ins_come_from_entry_points(monkeypatch):
    monkeypatch.setattr(module, "_installed", lambda: Points({"fruits": [Point(Banana)]}))
    assert Registry("fruit", "fruits").names() == ["banana"]
    assert Registry("fruit", "other").names() == []


def test_built_in_classes_are_listed_without_being_imported(monkeypatch, tmp_path):
    folder = tmp_path / "grocer"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    text = '@FRUITS.register\nclass Fig:\n    """A sweet fruit.\n\n    More."""\n    kind: Literal["fig"] = "fig"\n'
    (folder / "fig.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_installed", lambda: Points({"fruits": [Point(Apple)]}))
    fruits = Registry("fruit", "fruits", ("grocer", "FRUITS.register"))
    assert fruits.summaries() == {"apple": "A fruit.", "fig": "A sweet fruit."}
    assert fruits.names() == ["apple", "fig"]


def test_a_plug_in_with_the_name_of_a_built_in_class_is_left_out(monkeypatch, tmp_path):
    folder = tmp_path / "market"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "apple.py").write_text('@FRUITS.register\nclass Other:\n    kind: Literal["apple"] = "apple"\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_installed", lambda: Points({"fruits": [Point(Apple), Point(Banana)]}))
    fruits = Registry("fruit", "fruits", ("market", "FRUITS.register"))
    with pytest.warns(UngrokWarning, match="plug-in fruits: 'plugged' cannot be used.*two fruits are called 'apple'"):
        assert fruits.names() == ["apple", "banana"]
    assert fruits.get("banana") is Banana


class Unfinished(Schema, ABC):
    kind: Literal["unfinished"] = "unfinished"

    @abstractmethod
    def grow(self): ...


class Nameless(Schema):
    pass


class Several(Schema):
    kind: Literal["one", "two"] = "one"


BROKEN = {
    "raises": (RuntimeError("first\nsecond"), r"RuntimeError: first\)"),
    "exits": (SystemExit(3), r"SystemExit: 3\)"),
    "number": (3, "3 is no fruit"),
    "function": (lambda: None, "is no fruit"),
    "other class": (dict, "is no fruit: it must be a class made from Schema"),
    "abstract": (Unfinished, "with all its methods"),
    "nameless": (Nameless, "Nameless lacks a name"),
    "two names": (Several, "Several lacks a name"),
}


@pytest.mark.parametrize(("plugged", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plug_in_is_named_in_a_warning_and_using_it_is_an_error(plugged, message, monkeypatch):
    monkeypatch.setattr(module, "_installed", lambda: Points({"fruits": [Point(plugged, "pear"), Point(Banana)]}))
    monkeypatch.setattr(module, "UNUSABLE", {})
    fruits = Registry("fruit", "fruits")
    fruits.register(Apple)
    with pytest.warns(UngrokWarning, match=f"plug-in fruits: 'pear' cannot be used.*{message}"):
        assert fruits.names() == ["apple", "banana"]
    assert fruits.get("banana") is Banana
    with pytest.raises(RecipeError, match=f"fruit: the plug-in 'pear' cannot be used.*{message}"):
        fruits.get("pear")


def test_a_recipe_that_names_a_broken_plug_in_is_told_why(monkeypatch):
    monkeypatch.setitem(UNUSABLE, "pear", "RuntimeError: rotten")
    union = TypeAdapter(Annotated[Apple | Banana, Field(discriminator="kind")])
    with pytest.raises(ValidationError) as error:
        union.validate_python({"kind": "pear"})
    assert explain(error.value, {"kind": "pear"}, "fruit") == (
        "fruit.kind: the plug-in 'pear' cannot be used (RuntimeError: rotten)"
    )


def test_summary_is_the_first_line():
    assert summary(Apple) == "A fruit."


def test_plug_ins_are_imported_once_and_when_they_are_needed(monkeypatch):
    loaded = []

    class Counting(Point):
        def load(self):
            loaded.append(self.cls)
            return self.cls

    monkeypatch.setattr(module, "_installed", lambda: Points({"fruits": [Counting(Banana)]}))
    fruits = Registry("fruit", "fruits")
    assert loaded == []
    for _ in range(2):
        assert fruits.names() == ["banana"]
    assert loaded == [Banana]


def test_a_class_without_a_docstring_has_no_summary():
    class Plain:
        pass

    assert summary(Plain) == ""
