"""Looking again: the store makes adding seeds free, so it keeps at which seeds a study was judged, and each look spends a part of alpha.

Testing the same claims whenever seeds were added errs more often than alpha says (Armitage, McPherson & Rowe 1969, J. R. Stat. Soc. A
132:235). The parts are fixed beforehand and sum to less than alpha, so that by Bonferroni's inequality all looks together err at most
that often.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ungrok.core.errors import DamagedFile
from ungrok.core.files import locked, read_sealed, write_sealed
from ungrok.core.schema import digest
from ungrok.study.claims import Doses, Verdict, judge, resolved
from ungrok.study.claims.judge import Paths
from ungrok.study.inference import FEWEST
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_audit import family_alpha
from ungrok.study.store import Store, explained
from ungrok.study.units import swaps

FIRST = 4 / 5
"""Share of alpha that the first look spends; each later one spends one half of what is left."""

UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Look:
    """One look at the results of a study.

    Args:
        alpha: What this look may spend: the error rate of all its words together.
        number: Which look it is, counted from 1; 0 where it spends nothing, because there are too few seeds or the headline is another.
        seeds_before: The sets of seeds at which the study was judged before, in that order, each sorted.
        first_headline_same: Whether the headline is the one that was fixed at the first look. If not, nothing but exploratory words may
            be said.

    """

    alpha: float
    number: int
    seeds_before: tuple[tuple[int, ...], ...]
    first_headline_same: bool


def share(number: int) -> float:
    """Return the share of alpha that a look spends, looks counted from 1; over all looks they sum to 1."""
    return FIRST if number == 1 else (1 - FIRST) / 2 ** (number - 1)


def look(store: Store, recipe: Recipe, headline: Mapping[str, Any]) -> Look:
    """Return which look at a study this is, and record it in the store.

    The same seeds again are the same look. A look at fewer seeds than decide anything is recorded, but spends nothing. What fixes the headline and
    alpha is the first look, however few its seeds: a smaller alpha holds later, a larger one does not.

    Args:
        store: The study's store. One that cannot be written is only read.
        recipe: The study's recipe. Studies that differ in seeds, claims, name, analyses, schemes and audit only are one study.
        headline: The headline family with nothing left open, as plain JSON types.

    Raises:
        DamagedFile: If the record of earlier looks is damaged.
        StoreError: If it cannot be read, or, where it is to be written, on a file system without locks.

    """
    seeds = tuple(sorted(recipe.seeds))
    return _look(store, _path(store, recipe), headline, family_alpha(recipe), seeds, _fewest(recipe))


def look_at_shadows(store: Store, recipe: Recipe, family: Mapping[str, Any], fewest: int) -> Look:
    """Return which look at the shadow models of a study this is, and record it in the store; the seeds of the look are their numbers.

    Adding shadow models is as free as adding seeds. The family may spend half of alpha; where the headline was judged before the recipe had an
    audit, and so at all of alpha, it may spend what the headline's next look would have.

    Args:
        store: As for :func:`look`.
        recipe: The study's recipe, with a block ``audit``.
        family: What is judged, as plain JSON types.
        fewest: Shadow models below which no word is said.

    Raises:
        DamagedFile: As for :func:`look`.
        StoreError: As for :func:`look`.

    """
    assert recipe.audit is not None
    path, alpha = _path(store, recipe), family_alpha(recipe)
    with explained(path):
        before = _read(path)
    if before is not None and before["alpha"] > alpha:
        alpha = recipe.claims.alpha * share(1 + _spending(before["seeds"], _fewest(recipe)))
    own = path.with_name(f"{path.stem}-privacy.json")
    return _look(store, own, family, alpha, tuple(range(recipe.audit.shadows)), fewest)


def judged(
    store: Store,
    recipe: Recipe,
    rows: pd.DataFrame,
    doses: Mapping[str, Doses],
    *,
    stress: pd.DataFrame | None = None,
    lasting: pd.DataFrame | None = None,
    paths: Paths | None = None,
) -> tuple[list[Verdict], Look | None]:
    """Judge a study at what this look may spend; see :func:`look` and :func:`ungrok.study.claims.judge`.

    Returns:
        The verdicts, and the look; None where nothing is compared.

    """
    headline = resolved(recipe)
    if headline is None:
        return judge(rows, recipe, doses, stress=stress, lasting=lasting, paths=paths), None
    own = look(store, recipe, headline.spec())
    exploratory = not own.first_headline_same
    tables = {"stress": stress, "lasting": lasting}
    return judge(rows, recipe, doses, own.alpha, exploratory=exploratory, paths=paths, **tables), own


def study_digest(recipe: Recipe) -> str:
    """Return what names a study, as 24 hexadecimal digits: all of its recipe but what leaves the trainings and paths of a seed as they are."""
    left_out = {"seeds", "claims", "name", "analyze", "schemes"}
    if not any(rule.from_shadows for rule in recipe.forget):
        left_out.add("audit")
    return digest({key: value for key, value in recipe.spec().items() if key not in left_out})


def _fewest(recipe: Recipe) -> int:
    """Return the number of seeds below which no word is said."""
    return FEWEST * (2 if swaps(recipe) else 1)


def _spending(looks: Sequence[Sequence[int]], fewest: int) -> int:
    """Return how many looks, each given by its seeds, spent a part of alpha."""
    return sum(len(seeds) >= fewest for seeds in looks)


def _path(store: Store, recipe: Recipe) -> Path:
    return store.root / "looks" / f"{study_digest(recipe)}.json"


def _look(
    store: Store, path: Path, headline: Mapping[str, Any], alpha: float, seeds: tuple[int, ...], fewest: int
) -> Look:
    now = {"headline": dict(headline), "alpha": alpha, "seeds": [list(seeds)]}
    with explained(path):
        ledger = _read(path) or now
        if not path.exists() or _adds(ledger, headline, seeds):
            ledger = _recorded(store, path, now)
    return _judged(ledger, alpha, headline, seeds, fewest)


def _read(path: Path) -> dict[str, Any] | None:
    """Return what is recorded; None where nothing is."""
    if not path.exists():
        return None
    try:
        ledger: dict[str, Any] = read_sealed(path)
    except DamagedFile as error:
        raise DamagedFile(f"{error}; it counts the looks at a study: remove it to count them anew") from error
    return ledger


def _adds(ledger: dict[str, Any], headline: Mapping[str, Any], seeds: tuple[int, ...]) -> bool:
    return ledger["headline"] == dict(headline) and list(seeds) not in ledger["seeds"]


def _recorded(store: Store, path: Path, now: dict[str, Any]) -> dict[str, Any]:
    """Return the record with a look added, under its lock: another study may look at the same time."""
    (seeds,) = now["seeds"]
    ledger = now
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (store.root / ".locks").mkdir(exist_ok=True)
        with locked(store.root / ".locks" / f"looks-{path.stem}"):
            known = _read(path)
            if known is not None:
                more = [seeds] if _adds(known, now["headline"], tuple(seeds)) else []
                ledger = known | {"seeds": [*known["seeds"], *more]}
            if ledger != known:
                write_sealed(path, ledger, durable=True)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        return _read(path) or now
    return ledger


def _judged(
    ledger: dict[str, Any], alpha: float, headline: Mapping[str, Any], seeds: tuple[int, ...], fewest: int
) -> Look:
    earlier = [tuple(each) for each in ledger["seeds"]]
    if ledger["headline"] != dict(headline):
        return Look(alpha, 0, tuple(earlier), first_headline_same=False)
    before = tuple(earlier[: earlier.index(seeds)] if seeds in earlier else earlier)
    least = min(alpha, ledger["alpha"])
    if len(seeds) < fewest:
        return Look(least, 0, before, first_headline_same=True)
    number = 1 + _spending(before, fewest)
    return Look(least * share(number), number, before, first_headline_same=True)
