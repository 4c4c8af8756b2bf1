"""Commands that read finished studies beside something else."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from ungrok.core.files import read_json, write_json


def test_compare_prints_the_paper_beside_a_study(after_study):
    code, out, err = after_study("compare", "here/tiny", "--with", "paper:table8-svhn")
    assert code == 0
    title, sizes, columns = out.splitlines()[:3]
    assert title == "Table 8, SVHN, ResNet (arXiv 2512.03437) against here/tiny"
    assert sizes.startswith("The paper: a ResNet on SVHN, trained to about step 500,000, 3 seeds. Here: MLP on ")
    assert columns.startswith("forget\tmethod\tmetric\t")
    assert out.endswith(" not measured\n")
    assert (
        "the study has no forget split classes-2-0.15, classes-2-0.3; --place classes-2-0.15=... says which it is, of class"
        in err
    )


def test_compare_prints_json_on_request(after_study):
    code, out, _ = after_study("compare", "here/tiny", "--with", "paper:table11", "--json")
    assert code == 0
    assert [line["metric"] for line in json.loads(out)] == ["RA", "TA", "UA"]


def test_mediation_needs_studies_that_measured_something(after_study):
    code, out, err = after_study("mediation", "here/tiny", "here/tiny")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")


@pytest.fixture
def of_eight_seeds(after_study, tmp_path):
    """Return a function that runs a command beside a finished study whose rows were copied to eight seeds."""
    shutil.copytree("here/tiny", tmp_path / "eight")
    recipe = tmp_path / "eight" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("seeds:\n- 0\n", f"seeds: {list(range(8))}\n"))
    made = read_json(tmp_path / "eight" / "provenance.json")
    write_json(
        tmp_path / "eight" / "provenance.json",
        {key: made[key] for key in ("store", "device", "doses")} | {"look": {"alpha": 0.04}},
    )
    rows = pd.read_parquet(tmp_path / "eight" / "results.parquet")
    pd.concat([rows.assign(seed=seed) for seed in range(8)]).to_parquet(tmp_path / "eight" / "results.parquet")
    return lambda *words: after_study(words[0], str(tmp_path / "eight"), *words[1:])


def test_calibrate_counts_the_words_given_after_swapping(of_eight_seeds):
    code, out, err = of_eight_seeds("calibrate", "--draws", "200", "--json")
    assert code == 0, err
    shares = json.loads(out)
    # All 2^7 swaps. The seeds are alike, so only the study as it is differs as much as can be: its words are all there are.
    assert (shares["draws"], shares["any_word"]) == (128, 1 / 128)
    code, out, _ = of_eight_seeds("calibrate", "--draws", "200")
    assert (code, out.splitlines()[0]) == (
        0,
        "any direction: 1 of 128 draws, 0.8% [0.0%, 4.3%]; the report was judged at 4.00%",
    )
    assert out.splitlines()[-1] == "no difference: 128"  # rows in which both sides of every seed are equal


def test_calibrate_judges_at_what_the_look_may_spend(of_eight_seeds, tmp_path):
    made = read_json(tmp_path / "eight" / "provenance.json")
    write_json(tmp_path / "eight" / "provenance.json", made | {"look": {"alpha": 0.005}})
    code, out, err = of_eight_seeds("calibrate", "--draws", "200", "--json")
    assert code == 0, err
    # The smallest p of eight seeds is 1/128, so a second look gives no word at all, and none after swapping.
    assert (json.loads(out)["alpha"], json.loads(out)["any_word"]) == (0.005, 0)


def test_calibrate_wants_seeds_enough_for_a_word(after_study):
    code, out, err = after_study("calibrate", "here/tiny")
    assert (code, out) == (2, "")
    assert err.startswith("error: seeds: words need at least 6, and 1 seed cannot give a wrong one")
