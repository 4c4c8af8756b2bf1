"""A study's folder: the one way to open what a study wrote."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ungrok.core.errors import DamagedFile, RecipeError, StoreError, first_line
from ungrok.core.files import matches, read_json, write_text
from ungrok.core.schema import digest
from ungrok.study.claims import Doses, Verdict, judge
from ungrok.study.forget_sizes import Sizes, sizes_of
from ungrok.study.loading import load
from ungrok.study.outputs import TABLES
from ungrok.study.plan import Plan, make_plan
from ungrok.study.recipe import Recipe
from ungrok.study.results import CONTROLS, MECHANISM, SEQUENCES, Results, curves, with_whole_steps
from ungrok.study.results_schemes import SCHEMES
from ungrok.study.results_stress import LASTING, STRESS
from ungrok.study.search import regrow
from ungrok.study.store import Store, explained

FORMS = ("parquet", "csv")
"""Forms of a table, the one that is read first."""


class StudyFolder:
    """What a study wrote; each part is read when it is first asked for.

    Args:
        path: The study's folder.
        recipe: Its recipe; the device is the one it ran on, whatever this machine has.
        provenance: The versions, hardware, times and doses that it was made with.
        store: The store that holds its jobs.
        sums: Checksums of its tables, by file name; those that are not listed are not checked.
        warnings: What a check of the recipe against its data said; None where that is not known of just this recipe.

    """

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        provenance: dict[str, Any],
        store: Store,
        sums: dict[str, str] | None = None,
        warnings: list[str] | None = None,
    ) -> None:
        self.path = path
        self.recipe = recipe
        self.provenance = provenance
        self.store = store
        self.warnings = warnings
        self._sums = sums or {}

    @classmethod
    def open(cls, path: Path, store: Path | None = None, *, mend: bool = False, begun: bool = False) -> StudyFolder:
        """Open a study.

        Args:
            path: The study's folder.
            store: Its store; by default the one it was made with or, if that is gone, the folder ``store`` beside ``path``.
            mend: Whether to go without a damaged provenance, because it will be written again.
            begun: Whether to go without one that is not there yet, because the study is running or was interrupted.

        Raises:
            RecipeError: If ``path`` holds no study.
            DamagedFile: If its provenance is damaged.

        """
        _check_there(path, "recipe.yaml")
        finished = (path / "provenance.json").is_file()
        if not begun:
            _check_there(path, "provenance.json", "; one that was interrupted goes on when it is run again")
        recipe = load(str(path / "recipe.yaml"))
        try:
            made = _provenance(path / "provenance.json") if finished else {}
        except DamagedFile:
            if not mend:
                raise
            made = {}
        sums, checked = made.pop("files", {}), made.pop("checked", {})
        warnings = checked.get("warnings") if checked.get("recipe") == recipe.hash else None
        recipe = recipe.model_copy(update={"device": made.get("device", recipe.device)})
        beside = path.parent / "store"
        used = Path(made.get("store", beside))
        return cls(path, recipe, made, Store(store or (used if used.is_dir() else beside)), sums, warnings)

    @cached_property
    def plan(self) -> Plan:
        """The study's plan, without the warnings of a preflight; searches have come as far in it as whole files of the store tell."""
        plan = make_plan(self.recipe)
        with suppress(DamagedFile):
            regrow(plan, self.store)
        return plan

    @cached_property
    def whole_plan(self) -> Plan:
        """The same for what must know all jobs of a study.

        Raises:
            DamagedFile: If a file is damaged by which a search went.

        """
        regrow(self.plan, self.store)
        return self.plan

    @cached_property
    def results(self) -> Results:
        """The tables that lie in the folder; those that are not there are empty.

        Raises:
            RecipeError: If the table of results is missing.
            DamagedFile: If a table is damaged.

        """
        _check_there(self.path, "results.parquet")
        tables = {
            name: self._table(name) for name in ("transitions", "oracles", "curves", "timings", "audits", "groups")
        }
        optional = {
            "mechanism": MECHANISM,
            "controls": CONTROLS,
            "stress": STRESS,
            "lasting": LASTING,
            "sequences": SEQUENCES,
            "schemes": SCHEMES,
        }
        for name, columns in optional.items():
            table = self._table(name)
            tables[name] = pd.DataFrame(columns=columns) if table.empty else table
        return Results(self._table("results"), **tables)

    def results_with_curves(self, plan: Plan) -> Results:
        """Return the tables in the folder, with curves from the store where an earlier version of the package did not write them.

        Raises:
            RecipeError: If a table that every study has is neither in the folder nor in the store.

        """
        results = self.results
        if results.curves.empty and all(self.store.has(key) for key in plan.trajectories.values()):
            results = replace(results, curves=curves(plan, self.store))
        for name in ("transitions", "curves", "timings"):
            if getattr(results, name).empty:
                raise RecipeError(f"{self.path}: holds no {name}")
        return results

    def _table(self, name: str) -> pd.DataFrame:
        """Read a table; from CSV where an earlier version of the package wrote no other form."""
        path = next((file for form in FORMS if (file := self.path / f"{name}.{form}").is_file()), None)
        if path is None:
            return pd.DataFrame()
        if path.name in self._sums and not matches(path, self._sums[path.name]):
            raise DamagedFile(f"{path}: does not match its checksum; {_again(self.path)}")
        try:
            if path.suffix == ".parquet":
                return pd.read_parquet(path)
            return with_whole_steps(pd.read_csv(path, keep_default_na=False, na_values=[""]))
        except Exception as error:  # the readers of tables raise all sorts
            raise DamagedFile(f"{path}: {first_line(error)}; {_again(self.path)}") from error

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdicts, which follow from the rows, the recipe, the doses, and which look at the study this was."""
        look = self.provenance.get("look") or {}
        exploratory = not look.get("first_headline_same", True)
        results = self.results
        return judge(
            results.rows, self.recipe, self.doses, self.alpha, exploratory=exploratory, stress=results.stress, lasting=results.lasting
        )  # fmt: skip

    @property
    def sizes(self) -> Sizes:
        """The sizes of its forget sets; from the store where an earlier version of the package did not record them."""
        return self.provenance["sizes"] if "sizes" in self.provenance else sizes_of(self.plan, self.store)

    @property
    def alpha(self) -> float:
        """What the look at the study may spend: the level of its headline family; the recipe's where no look is recorded."""
        look = self.provenance.get("look") or {}
        return float(look.get("alpha", self.recipe.claims.alpha))

    @property
    def doses(self) -> dict[str, Doses]:
        """Per method label, where paths end and where doses are matched.

        Raises:
            RecipeError: If the study was written by an earlier version of the package, which did not record doses.

        """
        if "doses" not in self.provenance:
            raise RecipeError(
                f"{self.path}: was written by an earlier version; write it again with `ungrok report {self.path}`"
            )
        return {method: Doses(dose["budget"], dose["matched"]) for method, dose in self.provenance["doses"].items()}


def _check_there(path: Path, name: str, advice: str = "") -> None:
    if not (path / name).is_file():
        raise RecipeError(f"{path}: holds no study (no {name}){advice}")


def _again(path: Path) -> str:
    return f"`ungrok report {path}` writes it again from the store"


def _provenance(path: Path) -> dict[str, Any]:
    """Return what a study was made with; earlier versions of the package wrote it without a checksum.

    Raises:
        DamagedFile: If it cannot be read or does not match its checksum.

    """
    try:
        made = read_json(path)
        known = made.pop("checksum", None)
        whole = known is None or known == digest(made)
    except (DamagedFile, AttributeError, TypeError, ValueError):
        whole = False
    if not whole:
        raise DamagedFile(f"{path}: is damaged; {_again(path.parent)}")
    return dict(made)


@contextmanager
def kept_where_read_only(path: Path, what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Go on where a whole study lies in a folder that cannot be written; what lies there then stays as it is.

    Raises:
        StoreError: If the folder holds no whole study, or cannot be written for another reason.

    """
    try:
        yield
    except StoreError as error:
        whole = all((path / name).is_file() for name in ("results.parquet", "provenance.json", "report/index.html"))
        reason = getattr(error.__cause__, "errno", None)
        if not whole or reason not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        say(f"warning: {path} cannot be written; {what} stay as they are")


def check_writable(path: Path) -> None:
    """Make sure that a study's folder can be written, before anything is run for it.

    Raises:
        StoreError: If it cannot.

    """
    files = ["recipe.yaml", "provenance.json", "report/verdicts.json", "report/answers.json", "report/index.html"]
    for name in [*files, *(f"{table}.{form}" for table in TABLES for form in FORMS)]:
        if (path / name).is_dir():
            raise StoreError(f"{path / name}: is a folder, and a file is to be written there; remove or rename it")
    with explained(path):
        (path / "report").mkdir(parents=True, exist_ok=True)
        write_text(path / "report" / ".writable", "")
        (path / "report" / ".writable").unlink()
