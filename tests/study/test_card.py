"""The card of an exported study: a header that the hub reads, and what the files hold."""

from __future__ import annotations

import yaml

from ungrok.study.card import TABLES, card
from ungrok.study.outputs import TABLES as WRITTEN


def test_every_table_that_a_study_writes_has_a_name_of_its_own():
    assert set(TABLES) == set(WRITTEN)
    assert len({name for name, _ in TABLES.values()}) == len(TABLES)


def test_the_header_names_the_files_and_the_text_what_they_hold(tiny):
    made = {"date": "2026-01-31", "versions": {"torch": "2.6", "dask": None}}
    text = card(tiny(), ["curves", "results"], made, 7, weights=False)
    _, header, body = text.split("---\n", 2)
    content = yaml.safe_load(header)
    assert content["pretty_name"] == "ungrok study tiny"
    assert content["configs"] == [
        {"config_name": "paths", "data_files": "data/results.parquet", "default": True},
        {"config_name": "trajectories", "data_files": "data/curves.parquet"},
        {"config_name": "jobs", "data_files": "data/jobs.parquet"},
    ]
    assert "problem `digits`, 2 seeds, stages `pre_grok`, `grokked`." in body
    assert "the 7 jobs" in body
    assert "models were left out" in body
    assert "Made on 2026-01-31 with torch 2.6." in body
    assert "and the models." in card(tiny(), ["results"], made, 7, weights=True)
