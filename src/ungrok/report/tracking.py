"""A finished study as runs and series, for experiment trackers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from ungrok.core.errors import UngrokError, first_line
from ungrok.core.files import read_json
from ungrok.integrations.trackers import TRACKERS, Series, TrackedRun, TrackedStudy, check_tracker
from ungrok.study.folder import StudyFolder
from ungrok.study.results import KEYS
from ungrok.study.track import REPLICATE, tracks


def track(study: StudyFolder, names: Sequence[str], say: Callable[[str], None]) -> None:
    """Write a study, whose tables and report are written, to experiment trackers.

    Args:
        study: The study.
        names: Of trackers, see :data:`ungrok.integrations.trackers.TRACKERS`.
        say: Takes one line of text for the user.

    Raises:
        UngrokError: If a tracker is not known or not installed, or fails.

    """
    for name in names:
        check_tracker(name)
    content = tracked(study) if names else None
    for name in names:
        assert content is not None
        try:
            where = TRACKERS[name](content, study.path / "track")
        except Exception as error:  # whatever a tracker or its server raises
            raise UngrokError(
                f"--track {name}: {first_line(error)}; the study is finished, and `ungrok report {study.path} --track {name}` tries again"
            ) from error
        say(f"tracked: {where}")


def tracked(study: StudyFolder) -> TrackedStudy:
    """Return what trackers are given of a study: the same for every call, however its jobs came to be finished."""
    results = study.results
    series: dict[tuple[str, int], list[Series]] = {}
    for key, own in [*training(results.curves), *unlearning(results.rows)]:
        series.setdefault(key, []).append(own)
    answered = read_json(study.path / "report" / "answers.json")["claims"]
    return TrackedStudy(
        study.recipe.name,
        study.recipe.hash,
        study.recipe.model_dump(mode="json"),
        study.path / "report",
        [TrackedRun(arm, seed, own) for (arm, seed), own in series.items()],
        {answer["claim"]: (answer["verdict"], answer["text"]) for answer in answered},
    )


def training(curves: pd.DataFrame) -> Iterator[tuple[tuple[str, int], Series]]:
    """Yield the metrics of every training run by arm and seed: all columns of ``curves`` over the steps."""
    names = [name for name in map(str, curves) if name not in ("arm", "seed", "step")]
    for (arm, seed), rows in curves.groupby(["arm", "seed"], sort=True):
        yield (str(arm), int(str(seed))), _series("training", (), "step", rows["step"], rows[names])


def unlearning(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, int], Series]]:
    """Yield the metrics of every unlearning path by arm and seed.

    They are the columns of numbers without those that an oracle has by itself, which are the same along a path, and truths. Of several
    draws of a forget split and repeats of a path the first are taken.
    """
    names = [
        name
        for name in map(str, rows)
        if name not in (*KEYS, *REPLICATE) and is_numeric_dtype(rows[name]) and not is_bool_dtype(rows[name])
        if name == "oracle_gap" or not name.startswith("oracle_")
    ]
    for (arm, seed), paths in groupby(tracks(rows), lambda each: (each[1].arm, each[0])):
        for _, place, path in paths:
            own = path.rows
            counted = not own["updates"].isna().any()
            axis, steps = ("updates", own["updates"]) if counted else ("place", pd.Series(range(len(own))))
            kept = own[[name for name in names if name != axis]]
            yield (arm, seed), _series("unlearning", (place.stage, place.forget, place.method), axis, steps, kept)


def _series(kind: str, place: tuple[str, ...], axis: str, steps: pd.Series[Any], values: pd.DataFrame) -> Series:
    metrics = {str(name): values[name].to_numpy(np.float64, na_value=np.nan) for name in values}
    return Series(
        kind, place, axis, steps.to_numpy(np.int64), {n: v for n, v in metrics.items() if not np.isnan(v).all()}
    )
