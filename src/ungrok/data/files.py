"""Images of the user's own: a folder with one subfolder per class, or parquet files."""

from __future__ import annotations

import os
from glob import escape
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from ungrok.core.errors import RecipeError, first_line, shown_file
from ungrok.core.files import local_path
from ungrok.core.schema import digest
from ungrok.data.base import PROBLEMS, Split
from ungrok.data.cache import decoded
from ungrok.data.decode import Decoding
from ungrok.data.images import ImageProblem, Source, class_names, load_table, targets_of


@PROBLEMS.register
class OwnImages(ImageProblem):
    """Images from a folder with one subfolder per class, or from parquet with an image and a label column.

    The hash of images and labels is part of every job's key, so changed files are new data.
    """

    kind: Literal["images"] = "images"
    path: str = Field(
        min_length=1, description="folder of class folders, parquet file, or folder of parquet files: training images"
    )
    test_path: str | None = Field(
        None, min_length=1, description="the same for test images; drawn from the training images when null"
    )
    train_size: int | None = Field(None, ge=10, description="training images; all that are left when null")
    image: str = Field("image", description="column of images; not used for folders of class folders")
    label: str = Field("label", description="column of labels; not used for folders of class folders")
    mode: Literal["L", "RGB"] | None = Field(
        None, description="convert to grey (L) or color (RGB), dropping alpha; null: all must be L, or all RGB"
    )
    content: str | None = Field(
        None, description="hash that images and labels must have; filled in when jobs are planned"
    )

    def sources(self) -> tuple[Source, Source | None]:
        """Return the training set, and the test set if it has a path of its own.

        Raises:
            RecipeError: If there is nothing to read, or it cannot be read.

        """
        train = self._source("path", self.path)
        test = None if self.test_path is None else self._source("test_path", self.test_path)
        return train, test

    def decoding(self) -> Decoding:
        """Return the recipe's settings."""
        return Decoding(mode=self.mode, size=self.size, skip_corrupt=self.skip_corrupt)

    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return the three splits and the number of classes.

        Raises:
            RecipeError: If the files are not those that ``content`` stands for.

        """
        if self.content not in (None, content := self._content()):
            raise RecipeError(f"problem.content: {self.content} expected, the files under {self.path!r} give {content}")
        return super().splits()

    def pinned(self) -> Self:
        """Return the problem with the hash of the files as they are now."""
        return self.model_copy(update={"content": self._content()})

    def _content(self) -> str:
        train, test = self.sources()
        names = class_names(train)
        parts = [train] if test is None else [train, test]
        keys = [decoded(part.table, part.image, self.decoding(), part.name).key for part in parts]
        return digest([keys, names, [targets_of(part, names).tolist() for part in parts]])

    def _source(self, key: str, where: str) -> Source:
        path = local_path(where, f"problem.{key}")
        parquet = [path] if path.suffix == ".parquet" else sorted(path.rglob("*.parquet"))
        if not path.exists():
            raise RecipeError(f"problem.{key}: {where!r} does not exist (looked for {path})")
        if "::" in str(path):
            raise RecipeError(f"problem.{key}: {where!r} holds '::', which the package datasets takes for an archive")
        if parquet:
            files = [escape(str(file)) for file in parquet]
            return Source(where, _load(key, where, "parquet", files), self.image, self.label)
        if not path.is_dir():
            raise RecipeError(f"problem.{key}: {shown_file(where)} is neither a folder nor a parquet file")
        table = _load(key, where, "imagefolder", f"{escape(str(path))}/**", drop_labels=False)
        _check_folders(f"problem.{key}: {where!r}", table, path)
        return Source(where, table, "image", "label")


def _check_folders(what: str, table: Any, path: Path) -> None:
    """Raise RecipeError unless all images lie right in the folders of ``path``, and every one of these holds images.

    ``imagefolder`` takes the folder in which an image lies for its class, however deep it is.
    """
    import pyarrow.compute as pc

    files = pc.struct_field(table.data.column("image"), "path").to_pylist()
    folders = {os.path.relpath(folder, path) for folder in {os.path.dirname(file or "./") for file in files}}
    deep = sorted(folder for folder in folders if os.sep in folder or (folder == "." and len(folders) > 1))
    if deep:
        raise RecipeError(f"{what} has images in {deep[0]}; allowed: one folder per class, its images right in it")
    empty = {entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")} - folders
    if empty:
        raise RecipeError(f"{what} has a folder {min(empty)!r} in which no images were found; remove or rename it")


def _load(key: str, where: str, kind: str, files: str | list[str], **options: Any) -> Any:
    try:
        return load_table(kind, data_files={"train": files}, split="train", **options)
    except Exception as error:
        reason = first_line(error.__cause__ or error)
        raise RecipeError(f"problem.{key}: {where!r} cannot be read as {kind} ({reason})") from error
