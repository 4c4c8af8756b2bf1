"""Paths as tables hold them."""

from __future__ import annotations

import pandas as pd
import pytest

from ungrok.study.place import Place
from ungrok.study.track import Track, records, tracks


def path(reached, *, updates=True, seed=0, method="scrub", **columns):
    doses = [float(10 * i) for i in range(len(reached))]
    return pd.DataFrame(
        {
            "seed": seed, "arm": "base", "stage": "grokked", "forget": "class", "method": method, "dose": doses,
            "updates": pd.array([int(d) for d in doses] if updates else [None] * len(doses), dtype="Int64"),
            "reached_0.1": pd.array(reached, dtype="boolean"), "rewound": [d == 10 for d in doses], **columns,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reached", "status", "dose"),
    [
        ([False, True, True], "reached", 10),
        ([False, False, False], "censored", None),
        ([True, True, True], "nothing", 0),
        ([None, None, None], "undefined", None),
    ],
)
def test_when_a_target_is_reached(reached, status, dose):
    track = Track(path(reached))
    hit = track.at(0.1)
    assert (track.status(0.1), hit and hit["dose"]) == (status, dose)


def test_the_row_at_a_dose_is_the_last_not_beyond_it():
    track = Track(path([False] * 3))
    assert [track.at_dose(dose)["dose"] for dose in (0, 9.9, 10 * (1 - 1e-12), 15, 500)] == [0, 0, 10, 10, 20]


def test_a_path_knows_its_start_and_where_rewinding_stops():
    track = Track(path([False] * 3))
    assert (track.start["dose"], track.rewound()["dose"], track.one_shot) == (0, 10, False)
    assert Track(path([False] * 3, updates=False)).one_shot
    assert Track(path([False])).rewound() is None


def test_tracks_are_sorted_by_seed_and_place_and_their_rows_by_dose():
    rows = pd.concat([path([False] * 2, seed=1), path([False] * 3, method="npo"), path([False] * 3)])
    listed = list(tracks(rows.iloc[::-1]))
    assert [(seed, place) for seed, place, _ in listed] == [
        (0, Place("base", "grokked", "class", "npo")),
        (0, Place("base", "grokked", "class", "scrub")),
        (1, Place("base", "grokked", "class", "scrub")),
    ]
    assert [list(track.rows["dose"]) for *_, track in listed] == [[0, 10, 20], [0, 10, 20], [0, 10]]


def test_records_are_the_rows_as_pandas_gives_them():
    rows = pd.concat([path([False, True, None], loss=[0.5, None, 2.0]), path([True], seed=3, loss=None)])
    assert [repr(row) for row in records(rows)] == [repr(row) for row in rows.to_dict("records")]


def test_paths_of_a_table_hold_the_same_rows_as_dicts():
    rows = pd.concat([path([False] * 2, seed=1), path([False] * 3, method="npo"), path([False, None])]).iloc[::-1]
    assert len(list(tracks(rows))) == 3
    for _, _, track in tracks(rows):
        assert [repr(row) for row in track.places] == [repr(row) for row in Track(track.rows).places]
