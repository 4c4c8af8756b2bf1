"""The data of a problem, kept in memory for the next job of this process."""

from __future__ import annotations

from ungrok.core.schema import canonical
from ungrok.data.base import Data, Problem
from ungrok.train import Training
from ungrok.train.exposure import Assignment

_loaded: dict[str, Data] = {}


def load_data(problem: Problem) -> Data:
    """Return a problem's data; those of the last problem asked for stay in memory."""
    text = canonical(problem.spec())
    if text not in _loaded:
        _loaded.clear()
        _loaded[text] = problem.load()
    return _loaded[text]


def seen_data(data: Data, training: Training, assignment: Assignment | None) -> Data:
    """Return the data as a training sees them: where it staggers examples, they know which are early and which late."""
    if training.exposure is None or assignment is None:
        return data
    return training.exposure.exposing(data, assignment)
