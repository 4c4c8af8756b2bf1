"""What the shadow models of one study say of privacy, in one file beside the evidence of studies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ungrok.core.errors import RecipeError, shown_file
from ungrok.core.files import read_json
from ungrok.core.schema import Schema
from ungrok.report.evidence import AUDIT, by_recipe, hardware, of_file, write_each
from ungrok.report.front import privacy_sentences
from ungrok.report.scale import Scale, scale
from ungrok.report.tables.audit import privacy_table, with_names
from ungrok.report.tables.table import Table
from ungrok.study.audit import FILE
from ungrok.study.loading import validate
from ungrok.study.names import Names


class FiledAudit(Schema):
    """What the shadow models of one study say of privacy, and what they were made with."""

    version: Literal[1] = 1
    recipe: str = Field(description="name of the recipe")
    hash: str = Field(description="hash of the recipe")
    commit: str | None = Field(description="commit of the package that judged it, with + where it was changed since")
    date: str = Field(description="day on which it was judged, in UTC")
    device: str = Field(description="cpu or cuda")
    hardware: str = Field(description="name of the processor or GPU")
    scale: Scale = Field(description="model, data and length of the training")
    shadows: int = Field(description="shadow models that were trained")
    privacy: dict[str, Any] = Field(
        description="what audit.json says of privacy, with names for people in place of labels"
    )

    @property
    def made(self) -> str:
        """What it was made with, in a sentence."""
        return (
            f"{self.shadows} shadow models: {self.scale.model} on {self.scale.of_data}, {self.scale.updates:,} updates. Judged on {self.date} by commit "
            f"{(self.commit or 'unknown')[:8]}, on {self.device} ({self.hardware}); recipe hash {self.hash}."
        )

    @property
    def answer(self) -> str:
        """The answer to whether a grokked model forgets more privately."""
        (sentence,) = privacy_sentences({"privacy": self.privacy})
        return sentence

    def table(self) -> Table:
        """Return its rows."""
        return privacy_table(self.privacy)


def read_audits(paths: Sequence[Path]) -> list[FiledAudit]:
    """Return what the audits of several studies say of privacy, by name of their recipes; those that compared no stages are left out.

    Args:
        paths: Folders of studies, files that :func:`save_audits` wrote, or folders of such files; what is none of these is passed over.

    Raises:
        RecipeError: If a file was written by another version of the package, or two are of one recipe.
        StoreError: If a file is damaged or cannot be read.

    """
    return by_recipe((audit for path in paths for audit in _read(path)), "audits")


def _read(path: Path) -> Iterator[FiledAudit]:
    if (path / FILE).is_file():
        content = read_json(path / FILE)
        if "privacy" in content:
            yield _of_audit(path / FILE, content)
    elif path.is_dir():
        yield from (of_file(file, FiledAudit, "audit") for file in sorted(path.glob(f"*{AUDIT}")))
    elif path.name.endswith(AUDIT):
        yield of_file(path, FiledAudit, "audit")


def _of_audit(path: Path, content: dict[str, Any]) -> FiledAudit:
    if "made" not in content:
        raise RecipeError(
            f"{shown_file(path)}: was judged by another version of the package; `ungrok audit` judges it again"
        )
    recipe, made = validate(content["settings"]), content["made"]
    return FiledAudit(
        recipe=recipe.name,
        hash=content["hash"],
        commit=made["commit"],
        date=made["date"],
        device=made["device"],
        hardware=hardware(made, recipe),
        scale=scale(recipe),
        shadows=max(stage["trained"] for stage in content["stages"]),
        privacy=with_names(content["privacy"], Names(recipe)),
    )


def save_audits(folder: Path, every: Sequence[FiledAudit]) -> list[Path]:
    """Write audits to one file per recipe, named after it, and return the files.

    Raises:
        StoreError: If the folder cannot be written.

    """
    return write_each(folder, {one.recipe: one for one in every}, AUDIT)
