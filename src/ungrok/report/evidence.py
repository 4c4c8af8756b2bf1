"""What one study says, in one file: its headline verdicts and what they were made with; read from a study's folder or from such a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import pandas as pd
from pydantic import Field, ValidationError

from ungrok.core.errors import RecipeError, shown_file
from ungrok.core.files import read_json, write_text
from ungrok.core.schema import Schema, explain
from ungrok.report.evidence_numbers import FiledEnd, FiledMeasure, ends, measures
from ungrok.report.scale import Scale, scale
from ungrok.report.view import View
from ungrok.study.audit import FILE
from ungrok.study.folder import StudyFolder
from ungrok.study.loading import load
from ungrok.study.names import Names
from ungrok.study.place import comparisons
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE, Side
from ungrok.study.store import explained
from ungrok.study.verdict_file import VERSION, FiledVerdict, read_verdicts

AUDIT = ".audit.json"
"""How the names of files end that hold what shadow models say, see :mod:`ungrok.report.evidence_audits`."""


class Named(Protocol):
    """What is filed under the name of a recipe."""

    @property
    def recipe(self) -> str:
        """That name."""


N = TypeVar("N", bound=Named)
S = TypeVar("S", bound=Schema)


class FiledAnswer(Schema):
    """What a study says of one claim."""

    claim: str = Field(description="kind of the claim")
    verdict: str = Field(description="supported, refuted, mixed, inconclusive or exploratory")
    text: str = Field(description="the answer as a sentence, in natural units")
    overturned_by: str = Field(description="what would change the word")


class Evidence(Schema):
    """What one study says, and what it was made with."""

    version: Literal[2] = 2
    recipe: str = Field(description="name of the recipe")
    hash: str = Field(description="hash of the recipe, which differs between recipes that differ in any key")
    commit: str | None = Field(description="commit of the package that judged it, with + where it was changed since")
    date: str | None = Field(description="day on which it was judged, in UTC")
    device: str = Field(description="cpu or cuda")
    hardware: str = Field(description="name of the processor or GPU")
    seeds: list[int]
    scale: Scale = Field(description="model, data, length of the training and seeds")
    names: dict[str, str] = Field(
        description="names for people, by label of a method, forget split, comparison or side of one"
    )
    families: dict[str, str] = Field(description="family of each method, by label")
    kinds: dict[str, str] = Field(description="kind of each method and forget rule, by label")
    transitions: dict[str, dict[str, int]] = Field(
        description="per arm, the number of seeds by status of their training"
    )
    first: list[str] = Field(description="what did not happen, in sentences")
    answers: list[FiledAnswer]
    durable: str = Field("", description='the answer to "Does forgetting last?", where it was asked')
    mechanism: list[str] = Field(
        [], description="what goes with the cost of unlearning, in sentences, where it was measured"
    )
    verdicts: list[FiledVerdict] = Field(description="those of the headline family, as verdicts.json holds them")
    measures: list[FiledMeasure] = Field(description="measures of the paper's tables, a family of their own")
    ends: list[FiledEnd] = Field(
        description="accuracies before unlearning, of oracles, and after it at the matched dose"
    )

    def called(self, label: str) -> str:
        """Return the name of a method, forget split or comparison; of two splits with an arrow between them, both names."""
        return self.names.get(label) or " → ".join(self.names.get(part, part) for part in label.split(" → "))

    def family(self, method: str) -> str:
        """Return the family of a method."""
        return self.families.get(method, "other")


def read(paths: Sequence[Path]) -> list[Evidence]:
    """Return the evidence of several studies, by name of their recipes; audits are passed over.

    Args:
        paths: Folders of studies, files that :func:`save` wrote, or folders of such files.

    Raises:
        RecipeError: If one of them is neither, was written by an earlier version of the package, or two are of one recipe.
        StoreError: If a file is damaged or cannot be read.

    """
    return by_recipe((evidence for path in paths for evidence in _read(path)), "studies")


def by_recipe(every: Iterable[N], what: str) -> list[N]:
    """Return what was filed in the order of recipes' names; ``what`` names several of them.

    Raises:
        RecipeError: If two are of one recipe.

    """
    ordered = sorted(every, key=lambda one: one.recipe)
    for one, following in pairwise(ordered):
        if one.recipe == following.recipe:
            raise RecipeError(f"two {what} are called {one.recipe!r}; leave one out, or report it under another name")
    return ordered


def _read(path: Path) -> Iterator[Evidence]:
    if (path / "recipe.yaml").is_file():
        yield of_study(path)
    elif path.name.endswith(AUDIT) or (path / FILE).is_file():
        return
    elif path.is_file():
        yield of_file(path, Evidence, "evidence")
    elif files := sorted(path.glob("*.json")) if path.is_dir() else []:
        yield from (of_file(file, Evidence, "evidence") for file in files if not file.name.endswith(AUDIT))
    else:
        raise RecipeError(f"{shown_file(path)} holds no study (no recipe.yaml) and no file of evidence")


def of_file(path: Path, kind: type[S], what: str) -> S:
    """Return what :func:`write_each` wrote to a file; ``what`` names it.

    Raises:
        RecipeError: If the file holds something else.

    """
    content = read_json(path)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{shown_file(path)}: is no {what} of this version ({explain(error, content)})") from None


def of_study(path: Path) -> Evidence:
    """Return the evidence of a study, from the files in its folder.

    Raises:
        RecipeError: If there is no study, or an earlier version of the package wrote it.
        StoreError: If a file is damaged or cannot be read.

    """
    study = StudyFolder.open(path)
    made, recipe = study.provenance, study.recipe
    if made.get("verdicts_schema") != VERSION:
        raise RecipeError(
            f"{shown_file(path)}: was judged by another version of the package; `ungrok report {path}` judges it again"
        )
    answered = read_json(path / "report" / "answers.json")
    measured = path / "report" / "mechanism.json"
    verdicts = [one for one in read_verdicts(path / "report" / "verdicts.json") if one.headline]
    view = View.of(study)
    return Evidence(
        recipe=recipe.name,
        hash=load(str(path / "recipe.yaml")).hash,  # a study's own recipe names the device that it ran on
        commit=made.get("commit"),
        date=made.get("date"),
        device=recipe.device,
        hardware=hardware(made, recipe),
        seeds=recipe.seeds,
        scale=scale(recipe),
        names=_names(recipe),
        families={method.label: method.family for method in recipe.unlearn},
        kinds={one.label: one.kind for one in recipe.unlearn} | {one.label: one.kind for one in recipe.forget},
        transitions=counted(study.results.transitions),
        first=answered["first"],
        answers=[FiledAnswer.model_validate(answer) for answer in answered["claims"]],
        durable=(answered.get("durable") or {}).get("text", ""),
        mechanism=read_json(measured) if measured.is_file() else [],
        verdicts=verdicts,
        measures=measures(view, study.alpha, exploratory=not (made.get("look") or {}).get("first_headline_same", True)),
        ends=ends(view),
    )


def _names(recipe: Recipe) -> dict[str, str]:
    names = Names(recipe)
    series = [(arm, stage) for arm in (BASE, *recipe.arms) for stage in recipe.stages_of(arm)]
    stages = {Side(arm=arm, stage=stage).label: names.series(arm, stage) for arm, stage in series}
    compared = {one.label: names.comparison(one) for one in comparisons(recipe)}
    splits = {label: names.forget(label) for label in recipe.forget_labels()}
    return stages | compared | splits | {label: names.method(label) for label in recipe.unlearn_labels()}


def hardware(made: dict[str, Any], recipe: Recipe) -> str:
    """Return the name of what a study ran on, as its provenance knows it."""
    if recipe.device == "cuda":
        return str(made.get("gpu") or "GPU")
    workers = made.get("workers")
    return f"{made.get('processor') or 'CPU'}{f', {workers} workers' if workers else ''}"


def counted(transitions: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return, per arm, how many seeds have each status of training."""
    groups = transitions.groupby("arm", sort=False)["status"]
    return {str(arm): {str(name): int(n) for name, n in own.value_counts().items()} for arm, own in groups}


def save(folder: Path, every: Sequence[Evidence]) -> list[Path]:
    """Write evidence to one file per study, named after its recipe, and return the files.

    Raises:
        StoreError: If the folder cannot be written.

    """
    return write_each(folder, {one.recipe: one for one in every}, ".json")


def write_each(folder: Path, filed: Mapping[str, Schema], ending: str) -> list[Path]:
    """Write what is filed by the name of its recipe to one file each, whose names end with ``ending``, and return the files.

    Raises:
        StoreError: If the folder cannot be written.

    """
    files = []
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for recipe, one in filed.items():
            files.append(folder / f"{recipe.replace('/', '-')}{ending}")
            write_text(files[-1], one.model_dump_json(indent=1) + "\n")
    return files
