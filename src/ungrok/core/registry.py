"""Named kinds: the one place where built-in classes and plug-ins meet."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module, metadata
from inspect import isabstract
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import AfterValidator
from pydantic.fields import FieldInfo
from pydantic_core import SchemaValidator
from pydantic_core.core_schema import tagged_union_schema

from ungrok.core.catalog import Entry, entries
from ungrok.core.errors import RecipeError, UngrokWarning, first_line, shown, unknown
from ungrok.core.schema import UNUSABLE, Schema

T = TypeVar("T", bound=Schema)
C = TypeVar("C", bound=type[Schema])


class Registry(Generic[T]):
    """Classes that play one part, such as unlearning methods, by the value of their ``kind`` field.

    A class takes part by declaring ``kind: Literal["name"] = "name"`` and being registered, either with the decorator
    :meth:`register` or through the entry-point group given here.

    Args:
        what: What error messages call such a class, for instance ``"unlearner"``.
        group: Entry-point group that plug-ins use, for instance ``"ungrok.unlearners"``.
        base: The class that all must be of; not needed where only names are asked for.
        catalog: Where built-in classes are looked for, as :func:`~ungrok.core.catalog.entries` takes it; their modules are
            imported when they are first asked for. Without it a class is known only once its module has been imported.

    """

    def __init__(
        self, what: str, group: str, catalog: tuple[str, str] | None = None, base: type[Schema] = Schema
    ) -> None:
        self.what = what
        self.group = group
        self.catalog = catalog
        self.base = base
        self.broken: dict[str, str] = {}
        """Why each plug-in that cannot be used cannot, by the name of its entry point."""
        self._classes: dict[str, type[T]] = {}
        self._loaded = False
        self._validators: dict[tuple[str, ...], SchemaValidator] = {}

    def register(self, cls: C) -> C:
        """Add a class under the name that its ``kind`` field allows, and return it unchanged."""
        fields: dict[str, FieldInfo] = getattr(cls, "model_fields")  # noqa: B009 (mypy mistakes the bound)
        name = get_args(fields["kind"].annotation)[0]
        own = self.catalog and cls.__module__.startswith(f"{self.catalog[0]}.")
        if self._classes.get(name, cls) is not cls or (not own and name in self._built_in()):
            raise ValueError(f"two {self.what}s are called {name!r}")
        self._classes[name] = cls  # type: ignore[assignment]
        return cls

    def _built_in(self) -> dict[str, Entry]:
        return entries(*self.catalog) if self.catalog else {}

    def _load(self) -> None:
        """Import the plug-ins, once; one that cannot be used is named in a warning, and nothing else fails for it."""
        if self._loaded:
            return
        self._loaded = True
        for point in _installed().select(group=self.group):
            try:
                self._join(point.load())
            except (Exception, SystemExit) as error:  # whatever a plug-in raises when it is imported
                reason = f"{type(error).__name__}: {first_line(error)}"
                self.broken[point.name] = UNUSABLE[point.name] = reason
                warnings.warn(
                    f"plug-in {self.group}: {point.name!r} cannot be used ({reason})", UngrokWarning, stacklevel=2
                )

    def _join(self, cls: Any) -> None:
        """Register the class of a plug-in.

        Raises:
            TypeError: If it is not what this registry holds.
            ValueError: If its name is taken.

        """
        if not (isinstance(cls, type) and issubclass(cls, self.base)) or isabstract(cls):
            raise TypeError(
                f"{shown(cls)} is no {self.what}: it must be a class made from {self.base.__name__}, with all its methods"
            )
        names = get_args(cls.model_fields["kind"].annotation) if "kind" in cls.model_fields else ()
        if len(names) != 1 or cls.model_fields["kind"].default != names[0]:
            raise TypeError(f'{cls.__name__} lacks a name: it must say kind: Literal["name"] = "name"')
        self.register(cls)

    def names(self) -> list[str]:
        """Return the registered names in alphabetical order; built-in classes are not imported for it."""
        self._load()
        return sorted({*self._built_in(), *self._classes})

    def summaries(self) -> dict[str, str]:
        """Return the first line of each class's docstring by name; built-in classes are not imported for it."""
        built_in = self._built_in()
        return {
            name: built_in[name].summary if name in built_in else summary(self._classes[name]) for name in self.names()
        }

    def get(self, name: str) -> type[T]:
        """Return the class called ``name``; a built-in one is imported.

        Raises:
            RecipeError: If there is none; the message lists the names and the nearest one. If it is a plug-in that cannot be
                used, the message says why.

        """
        if name not in self._classes and name in self._built_in():
            import_module(self._built_in()[name].module)
        if name not in self._classes:
            self._load()
        if name not in self._classes and name in self.broken:
            raise RecipeError(f"{self.what}: the plug-in {name!r} cannot be used ({self.broken[name]})")
        if name not in self._classes:
            raise unknown(self.what, name, self.names())
        return self._classes[name]

    def parse(self, block: Mapping[str, Any]) -> T:
        """Return the instance that a block of settings with a ``kind`` describes."""
        return self.get(block["kind"]).model_validate(block)

    def union(self) -> Any:
        """Return the pydantic annotation that accepts any registered class, discriminated on ``kind``.

        A built-in class is imported when a block first names it, so that a recipe does not wait for all methods.
        """
        names = self.names()
        return Annotated[Any, AfterValidator(self._validated)] if len(names) > 1 else self.get(names[0])

    def _validated(self, value: Any) -> Any:
        kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
        if isinstance(kind, str) and (kind in self._classes or kind in self._built_in()):
            names: tuple[str, ...] = (kind,)
        else:
            names = tuple(self.names())  # what knows all says what is allowed
        if names not in self._validators:
            choices = {name: self.get(name).__pydantic_core_schema__ for name in names}
            self._validators[names] = SchemaValidator(tagged_union_schema(choices, discriminator="kind"))
        return self._validators[names].validate_python(value)


@cache
def _installed() -> Any:  # the type depends on the version of Python
    """Return the entry points of all installed packages; cached, since reading their metadata is slow."""
    return metadata.entry_points()


def summary(cls: Callable[..., object]) -> str:
    """Return the first line of a class's docstring."""
    return (cls.__doc__ or "").strip().split("\n")[0]
