"""Over several studies: scales do not matter, one study alone cannot decide, and leaving it out shows that."""

import numpy as np
import pandas as pd

from ungrok.study.mediation import MEASURE, pooled


def points(cause, scale=1.0, seeds=10, seed=0):
    """Points of one study whose damage goes with a hidden number; the measure shows ``cause(hidden, noise)·scale``."""
    random, rows = np.random.default_rng(seed), []
    for s in range(seeds):
        for arm in ("base", "other", "third"):
            hidden, accuracy, noise = random.normal(size=3)
            place = dict(zip(MEASURE, ("a", "m", "", "model"), strict=True)) | {
                "seed": s,
                "arm": arm,
                "stage": "grokked",
                "forget": "class",
            }
            damage = hidden + accuracy
            rows.append(
                place
                | {"change": scale * cause(hidden, noise), "accuracy": accuracy, "damage": damage, "updates": damage}
            )
    return pd.DataFrame(rows)


def hidden(h, noise):
    return h + 0.3 * noise


def test_scales_of_studies_do_not_matter():
    answers = pooled({"one": points(hidden), "two": points(hidden, scale=1000, seed=1)}, 0.05)
    again = pooled({"one": points(hidden, scale=7), "two": points(hidden, seed=1)}, 0.05)
    assert answers["answer"].tolist() == ["yes", "yes"]
    assert answers["partial"].tolist() == again["partial"].tolist()
    assert (answers["partial"] > 0.8).all()
    assert answers["recipes"].tolist() == [2, 2]
    assert answers["recipes_agree"].tolist() == [1, 1]
    assert answers["seeds"].tolist() == [20, 20]


def test_opposite_studies_cancel_and_leaving_one_out_shows_it():
    damage = pooled({"one": points(hidden), "two": points(lambda h, n: -hidden(h, n), seed=1)}, 0.05).iloc[0]
    assert damage["answer"] == "no"
    assert damage["without"] == {"one": "yes", "two": "yes"}
    assert damage["recipes_agree"] < 1


def test_one_study_has_nothing_to_leave_out():
    damage = pooled({"one": points(hidden)}, 0.05).iloc[0]
    assert damage["answer"] == "yes"
    assert np.isnan(damage["recipes_agree"])
    assert damage["without"] is None


def test_noise_predicts_nothing():
    noise = pooled({"one": points(lambda h, n: n), "two": points(lambda h, n: n, seed=1)}, 0.05)
    assert noise["answer"].tolist() == ["no", "no"]
