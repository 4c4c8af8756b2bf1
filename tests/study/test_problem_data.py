"""Data are kept for the next job of a process, and no longer."""

from __future__ import annotations

from ungrok.data.digits import Digits
from ungrok.study import problem_data
from ungrok.study.problem_data import load_data


def test_the_last_problem_stays_in_memory(monkeypatch):
    monkeypatch.setattr(problem_data, "_loaded", {})
    one = load_data(Digits(train_size=50, validation_size=20))
    assert load_data(Digits(train_size=50, validation_size=20)) is one
    other = load_data(Digits(train_size=60, validation_size=20))
    assert len(other.train) == 60
    assert list(problem_data._loaded.values()) == [other]
