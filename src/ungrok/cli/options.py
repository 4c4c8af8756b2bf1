"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ungrok.core.collector import paused
from ungrok.core.errors import RecipeError, shown, shown_file, unknown
from ungrok.core.plain import parse_yaml, read_yaml
from ungrok.recipes import find

if TYPE_CHECKING:
    from ungrok.study.recipe import Recipe

T = TypeVar("T")

LONGEST_FILE_NAME = 200
"""Bytes of a file's name; file systems take 255, and a file is first written under a longer name."""

BASE = "base"
"""The arm that a recipe describes without its ``arms``."""


def nameable(param: typer.CallbackParam, value: Any) -> Any:
    """Return the value of an option or argument that names a path, or several.

    Raises:
        RecipeError: If no file can have such a name; what asks for one would fail at some later place.

    """
    for path in value if isinstance(value, list) else [value]:
        if path is not None and any(len(os.fsencode(part)) > 255 for part in Path(path).parts):
            raise RecipeError(f"{_shown(param)}: {shown_file(path)} has a name too long for a file system")
    return value


def study_folder(param: typer.CallbackParam, value: Any) -> Any:
    """Return the value of an argument that names the folder of a study, or several.

    Raises:
        RecipeError: If there is no study; told before the modules that read one are imported.

    """
    nameable(param, value)
    for path in value if isinstance(value, list) else [value]:
        if path is not None and not (path / "recipe.yaml").is_file():
            raise RecipeError(f"{_shown(param)}: {shown_file(path)} holds no study: it has no recipe.yaml")
    return value


def _folder(param: typer.CallbackParam, value: Path | None) -> Path | None:
    """Return the value of an option that names a folder, which need not be there.

    Raises:
        RecipeError: If it cannot be one.

    """
    nameable(param, value)
    there = next((path for path in (value, *value.parents) if os.path.lexists(path)), None) if value else None
    if there is not None and not there.is_dir():
        raise RecipeError(f"{_shown(param)}: {shown_file(there)} is no folder")
    return value


def _trackers(value: list[str] | None) -> list[str] | None:
    """Return the trackers that were named, after making sure that each is known and installed."""
    if value:
        from ungrok.integrations.trackers import check_tracker

        for name in value:
            check_tracker(name)
    return value


def _shown(param: typer.CallbackParam) -> str:
    name = max(param.opts, key=len)
    return name if name.startswith("-") else str(param.metavar)


def _recipes(incomplete: str) -> list[str]:
    """Return the shipped recipes that a word may become, for a shell's completion."""
    from ungrok.cli.listing import recipes

    return [name for name in recipes() if name.startswith(incomplete)]


RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="Name of a shipped recipe, or a path to a YAML file.", autocompletion=_recipes
    ),
]
RecipeOrSetting = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        help="Name of a shipped recipe, or a path to a YAML file; none with --data.",
        autocompletion=_recipes,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Dotted overrides, for instance trajectory.steps=2000."),
]
StoreDir = Annotated[
    Path | None, typer.Option("--store", callback=_folder, help="Folder of finished jobs; studies may share it.")
]
OutDir = Annotated[
    Path | None, typer.Option("--out", callback=_folder, help="Where the study writes; default: runs/<recipe>-<hash>.")
]
FigureDir = Annotated[
    Path | None,
    typer.Option("--out", callback=_folder, help="Folder of the figure advice.png; default: the first RUN."),
]
PageDir = Annotated[
    Path | None, typer.Option("--out", callback=_folder, help="Where the page is written; default: runs/evidence.")
]
SaveDir = Annotated[
    Path | None, typer.Option("--save", callback=_folder, help="Write one file of evidence per study to this folder.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0, max=1024, help="Worker processes, one thread each; 0 runs in this process; default: one per processor."
    ),
]
Scheduler = Annotated[
    str | None, typer.Option(callback=nameable, help="Address, or scheduler file, of an existing dask cluster.")
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        callback=_trackers, help="Write the finished study to tensorboard, wandb or mlflow; may be given several times."
    ),
]
Seed = Annotated[int | None, typer.Option(help="A seed of the recipe; default: its first.")]
ArmName = Annotated[str, typer.Option("--arm", help="An arm of the recipe.")]
Stage = Annotated[str | None, typer.Option(help="A stage of the recipe; default: its first.")]
Forget = Annotated[str | None, typer.Option(help="Label of a forget split; default: the first.")]
Method = Annotated[str | None, typer.Option(help="Label of a method; default: the first.")]
Model = Annotated[
    Path | None,
    typer.Option(callback=nameable, help="Weights of your own (.safetensors, .pt), instead of a stage."),
]
OfTheSplit = Annotated[
    bool,
    typer.Option("--trained-on-split", help="With --model: the weights were trained on the recipe's training split."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def check_scheduler(given: str | None) -> None:
    """Raise RecipeError where the option ``--scheduler`` names nothing."""
    if given is not None and not given.strip():
        raise RecipeError("--scheduler: is empty; name an address, as tcp://host:8786, or a scheduler file")


def load_recipe(name: str, overrides: Sequence[str] | None) -> Recipe:
    """Return the recipe of a name or path with its overrides.

    Raises:
        RecipeError: On the first thing that is wrong; with a hint where a shell has split an override at its spaces.

    """
    content = read_yaml(find(name))  # what is no recipe file is refused before torch is imported
    with paused():
        from ungrok.study.loading import resolved

    try:
        return resolved(name, content, overrides or ())
    except RecipeError as error:
        whole = split_by_shell(overrides or ())
        if whole is None:
            raise
        raise RecipeError(f"{error}; quote it for the shell: '{whole}'") from None


def load_with_block(name: str, overrides: Sequence[str] | None, block: str) -> Recipe:
    """Return a recipe as :func:`load_recipe` does, with a block at its defaults where the recipe has none."""
    recipe = load_recipe(name, overrides)
    return load_recipe(name, [*(overrides or ()), f"{block}={{}}"]) if getattr(recipe, block) is None else recipe


def settings_of(words: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a method given as ``key=value``, values being YAML."""
    settings = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign:
            raise RecipeError(f"setting {shown(word)}: allowed: key=value, for instance lr=1e-3")
        settings[name] = parse_yaml(text, f"setting {shown(name)}")
    return settings


def split_by_shell(words: Sequence[str]) -> str | None:
    """Return the first override whose brackets close only in a later word, as it was before the shell split it."""
    for start, word in enumerate(words):
        if "=" not in word or _depth(word) <= 0:
            continue
        for end in range(start + 2, len(words) + 1):
            whole = " ".join(words[start:end])
            if _depth(whole) == 0:
                return whole
    return None


def _depth(text: str) -> int:
    """Return how many brackets stay open at the end of a text."""
    return sum(text.count(bracket) for bracket in "[{") - sum(text.count(bracket) for bracket in "]}")


def one_of(option: str, value: T | None, allowed: Sequence[T]) -> T:
    """Return the value of an option, or the first that is allowed where none was given.

    Raises:
        RecipeError: If the value is not allowed.

    """
    if value is None:
        return allowed[0]
    if value not in allowed:
        raise unknown(option, value, map(str, allowed))
    return value


def new_model(model: Path, method: str, out: Path | None) -> Path:
    """Return where a new model goes: a folder where the original is one, else a file of safetensors.

    Args:
        model: The original.
        method: Its name stands in the name of the new one.
        out: What the user asks for; beside the original when None.

    Raises:
        RecipeError: If it cannot be written there.

    """
    if model.is_dir():
        target = out or model.with_name(f"{model.name}-{method}")
        if target.is_file() or target.suffix == ".safetensors":
            raise RecipeError(f"--out: {shown_file(target)} is not allowed; allowed: a folder, as the original is one")
        return target
    target = writable(out or model.with_name(f"{model.stem}-{method}.safetensors"), "--out")
    if target.suffix != ".safetensors":
        raise RecipeError(f"--out: {shown_file(target)} is not allowed; allowed: a file *.safetensors")
    return target


def writable(file: Path, option: str) -> Path:
    """Return a file that is to be written, before the work whose result goes there.

    Raises:
        RecipeError: If it is a folder, or its own folder is not there or cannot be written.

    """
    problem = None
    if len(os.fsencode(file.name)) > 200:
        problem = "has a name too long for a file system"
    elif os.path.isdir(file):
        problem = "is a folder; name a file in it"
    elif not os.path.isdir(file.parent):
        problem = "cannot be written: its folder is not there"
    elif not os.access(file.parent, os.W_OK):
        problem = "cannot be written: its folder is read-only"
    if problem:
        raise RecipeError(f"{option}: {shown_file(file)} {problem}")
    return file
