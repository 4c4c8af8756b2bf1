"""Places of a language model, and kinds of scores that are told by what is stored."""

import pytest
import torch

from ungrok.core.scores import AnswerScores, ClassScores
from ungrok.evaluate.accuracy import accuracies
from ungrok.evaluate.answers import Questioned, memorization, said
from ungrok.evaluate.path import path_audits, path_rows, place_accuracies
from ungrok.evaluate.places import PLACES, place_of
from ungrok.evaluate.tofu import FILES

FORGET, RETAIN = torch.tensor([0, 2]), torch.tensor([1, 3])
RECORD = {
    "scores": "answer",
    "doses": [0.0, 2.0],
    "updates": [0, 2],
    "passes": {"forget": [0.0, 1.0], "retain": [0.0, 0.5]},
    "classes": [0],
    "one_shot": False,
}


def drawn(cls, seed, n):
    draw = torch.Generator().manual_seed(seed)
    if cls is AnswerScores:
        return cls(*(torch.rand(n, generator=draw) for _ in range(3)), torch.arange(n) % 9)
    logits = torch.randn(n, 3, generator=draw)
    return cls(torch.rand(n, generator=draw), logits.argmax(1), torch.arange(n) % 3, logits)


def places(cls, seeds):
    sizes = {"train": 4, "validation": 3, "test": 5}
    return [{name: drawn(cls, 7 * seed + i, n) for i, (name, n) in enumerate(sizes.items())} for seed in seeds]


PATH, ORACLE = places(AnswerScores, (1, 2)), places(AnswerScores, (3,))
TENSORS = AnswerScores.stack(PATH) | {"forget": FORGET, "retain": RETAIN}
BEST = AnswerScores.stack(ORACLE)


def test_rows_of_a_language_model():
    rows = path_rows(TENSORS, RECORD, ["oracle"], BEST)
    for row, place in zip(rows, PATH, strict=True):
        assert row["UA"] == pytest.approx(place["train"].matches[FORGET].mean().item())
        assert row["RA"] == pytest.approx(place["train"].matches[RETAIN].mean().item())
        assert row["TA"] == pytest.approx(place["test"].matches.mean().item())
        expected = memorization(place["train"], forget=FORGET, retain=RETAIN)
        assert {name: row[name] for name in expected} == pytest.approx(expected)
        assert row["membership_auc"] is None
        assert row["oracle_ES_forget"] == pytest.approx(ORACLE[0]["train"].of(FORGET).paper_strength)
        assert row["oracle_extraction_forget"] == pytest.approx(ORACLE[0]["train"].extraction[FORGET].mean().item())
        assert "oracle_probability_forget" not in row
    assert [row["dose"] for row in rows] == [0.0, 2.0]
    assert rows[0]["oracle_UA"] == place_accuracies(BEST, FORGET, RETAIN, [0], "answer").UA


TABLE = {
    "rougeL_recall": {"0": 0.5},
    "rouge1_recall": {"0": 0.5},
    "generated_text": {"0": ["a b", "a"]},
    "avg_paraphrased_loss": {"0": 1.0},
}
ASKED = Questioned({FILES["forget"]: TABLE | {"average_perturb_loss": {"0": [2.0]}}}, {"loss": {"auc": 0.7}})


def test_the_end_of_a_language_models_path_is_what_it_answered():
    (row,) = path_audits(TENSORS, RECORD, BEST, asked=ASKED)
    last = path_rows(TENSORS, RECORD, [], BEST)[-1]
    shared = (
        "dose",
        "updates",
        "diverged",
        "UA",
        "RA",
        "TA",
        "ES_forget",
        "ES_retain",
        "extraction_forget",
        "extraction_retain",
        "forget_passes",
        "retain_passes",
    )
    assert {name: row[name] for name in shared} == {name: last[name] for name in shared}
    assert row.items() >= said(ASKED.logs, "").items()
    assert row["loss_auc"] == 0.7
    assert "oracle_loss_auc" not in row
    (beside,) = path_audits(
        TENSORS, RECORD, BEST, asked=ASKED, oracle_asked=Questioned(ASKED.logs, {"loss": {"auc": 0.4}})
    )
    assert beside["oracle_loss_auc"] == 0.4
    assert path_audits(TENSORS, RECORD, BEST) == []


def test_the_record_says_what_the_scores_are_whatever_the_tensors_are_called():
    path = places(ClassScores, (1, 2))
    tensors = ClassScores.stack(path) | {"forget": FORGET, "retain": RETAIN, "train.matches": torch.zeros(2, 4)}
    rows = path_rows(tensors, RECORD | {"scores": "class"}, [], None)
    expected = accuracies(*path[1].values(), forget=FORGET, retain=RETAIN, classes=[0])
    assert {name: rows[1][name] for name in expected.to_dict()} == pytest.approx(expected.to_dict())
    assert set(PLACES) == {"class", "answer"}


def test_a_one_shot_path_has_no_updates():
    assert place_of(RECORD | {"one_shot": True}, 1) == {
        "dose": 2.0, "updates": None, "forget_passes": 1.0, "retain_passes": 0.5
    }  # fmt: skip
