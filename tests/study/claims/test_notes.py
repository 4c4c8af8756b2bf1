"""Notes: one text for each code, with a short form."""

from __future__ import annotations

import pytest

from ungrok.study.claims import Note


@pytest.mark.parametrize(
    ("note", "short", "text"),
    [
        (Note("coarse", {"updates": 4.5}), "median of only 4.5 updates", "median of only 4.5 updates"),
        (
            Note("not_reached", {"before": 0, "after": 4, "pairs": 8}),
            "target not reached",
            "target not reached: 0 → 4 of 8",
        ),
        (Note("own_rates", {"before": 0.0004, "after": 0.002}), *["median rates 0.0004 → 0.002"] * 2),
    ],
)
def test_a_note_has_a_long_and_a_short_text(note, short, text):
    assert (note.short, note.text) == (short, text)


def test_notes_can_be_members_of_a_set():
    assert len({Note("coarse", {"updates": 4.5}), Note("coarse", {"updates": 4.5}), Note("across_zero")}) == 2
