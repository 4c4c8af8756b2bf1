"""How long an action takes, on average."""

from __future__ import annotations

from ungrok.study import bill
from ungrok.study.bill import timed


def test_the_first_call_warms_up_and_is_not_counted(monkeypatch):
    clock = [0.0]
    calls: list[float] = []

    def action():
        clock[0] += 10.0 if not calls else 0.2
        calls.append(clock[0])

    monkeypatch.setattr(bill.time, "perf_counter", lambda: clock[0])
    assert abs(timed(action, seconds=0.5) - 0.2) < 1e-9
    assert len(calls) == 1 + 3
