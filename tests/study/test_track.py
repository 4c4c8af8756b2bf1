"""Paths as tables hold them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ungrok.study.place import Place
from ungrok.study.track import Track, records, replicates, tracks


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


def test_the_log_of_the_dose_at_a_target():
    late = Track(path([False, False, True]))
    assert late.log_dose(0.1, 100) == pytest.approx(math.log(20))
    assert late.log_dose(0.1, 15) == pytest.approx(math.log(15))
    assert Track(path([False, False, False])).log_dose(0.1, 30) == pytest.approx(math.log(30))
    for nothing in ([True, True], [None, None]):
        assert math.isnan(Track(path(nothing)).log_dose(0.1, 30))


def test_of_several_draws_and_repeats_tracks_are_of_the_first():
    parts = [path([False] * (2 + draw), draw=draw, repeat=repeat) for repeat in (1, 0) for draw in (1, 0)]
    rows = pd.concat(parts, ignore_index=True)
    assert [(draw, repeat, len(part), {"draw", "repeat"} & set(part)) for draw, repeat, part in replicates(rows)] == [
        (0, 0, 2, set()),
        (0, 1, 2, set()),
        (1, 0, 3, set()),
        (1, 1, 3, set()),
    ]
    ((_, _, track),) = tracks(rows)
    assert len(track.rows) == 2
    only = rows.drop(columns="draw")[rows["draw"] == 1]
    assert [(draw, repeat, len(part)) for draw, repeat, part in replicates(only)] == [(0, 0, 3), (0, 1, 3)]
    plain = path([False])
    assert [(draw, repeat, list(part)) for draw, repeat, part in replicates(plain)] == [(0, 0, list(plain))]
    assert list(tracks(plain.iloc[:0].assign(draw=[], repeat=[]))) == []
