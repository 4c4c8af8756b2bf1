"""Paths that are walked and observed."""

import pytest
import torch

from ungrok.data.base import Data
from ungrok.study.bill import Bill, Price
from ungrok.study.jobs import Evaluate, Unlearn, unlearn
from ungrok.study.jobs.checkpoint import Checkpoint, weights_of
from ungrok.study.jobs.unlearn import observed, walk
from ungrok.study.recipe_blocks import DrawnNumbers, Observation
from ungrok.study.store import Work
from ungrok.train.speed import UnlearningSpeed


class Prices:
    replay, examples = 1.0, 10
    unlearning = Price(update=2.0, evaluation=100.0, weights=8)

    def of(self, spec):
        return self.unlearning


@pytest.mark.parametrize(
    ("total", "expected"),
    [(3, {0, 1, 2, 3}), (8, {0, 1, 2, 3, 4, 6, 8}), (4, {0, 1, 2, 3, 4}), (1, {0, 1})],
)
def test_all_early_updates_are_observed_then_log_spaced_ones_and_the_last(total, expected):
    assert observed(total, Observation(every_until=4, spacing=0.5)) == expected


def paths(study, method):
    plan, store, _ = study
    path = next(p for p in plan.paths if (p.arm, p.stage, p.method) == ("base", "grokked", method))
    return plan.job(path.path, Unlearn), store.open(path.path, Unlearn)


def test_places_hold_scores_of_their_kind(study):
    job, finished = paths(study, "scrub")
    result, tensors = finished.result, finished.tensors("path.safetensors")
    assert (result.status, result.scores, result.one_shot) == ("completed", "class", False)
    assert result.updates == sorted(observed(20, job.spec.observe))
    assert result.budget == 20
    assert tensors["train.predictions"].shape == (len(result.doses), 120)
    assert len(tensors["test.logits"]) == tensors["test.losses"].shape[1]
    assert sorted([*tensors["forget"].tolist(), *tensors["retain"].tolist()]) == list(range(120))
    assert [len(values) for values in result.passes.values()] == [len(result.doses)] * 2


def test_paths_from_one_stage_score_it_once(study, monkeypatch, tmp_path):
    made, score = [], Data.score
    monkeypatch.setattr(unlearn, "_starts", {})
    monkeypatch.setattr(Data, "score", lambda *args: made.append(1) or score(*args))
    places = 0
    for method in ("scrub", "fisher"):
        job, finished = paths(study, method)
        result = job.run(Work(study[1], job.inputs, tmp_path))
        assert result == finished.result
        assert (tmp_path / unlearn.SCORES).read_bytes() == (finished.path / unlearn.SCORES).read_bytes()
        places += len(result.doses)
    assert len(made) == places - 1


def test_scores_of_a_stage_stay_in_memory_only_where_they_are_few(study, monkeypatch, tmp_path):
    job, finished = paths(study, "fisher")
    monkeypatch.setattr(unlearn, "_starts", {})
    examples = sum(len(value) for name, value in finished.tensors(unlearn.SCORES).items() if name.endswith(".targets"))
    needed = examples * (4 * 10 + 4 + 8 + 8)  # logits, losses, predictions and targets
    for kept, expected in ((needed - 1, 0), (needed, 1)):
        monkeypatch.setattr(unlearn, "KEPT", kept)
        job.run(Work(study[1], job.inputs, tmp_path))
        assert len(unlearn._starts) == expected


def test_where_there_is_no_stage_there_is_no_path(study):
    plan, store, _ = study
    path = next(p for p in plan.paths if p.stage == "impossible")
    result = store.open(path.path, Unlearn).result
    assert (result.status, result.doses, result.budget, result.scores) == ("no stage", [], None, None)
    assert "weight_norm is off by" in result.reason


def rows_of(study, method):
    plan, store, _ = study
    path = next(p for p in plan.paths if (p.arm, p.stage, p.method) == ("base", "grokked", method))
    return store.open(path.rows, Evaluate).result.rows


def walked_until(study, method, level):
    job, finished = paths(study, method)
    source = study[1].open(job.inputs["stage"], Checkpoint)
    return finished, walk(source.result.training, weights_of(source), job.spec.model_copy(update={"until": level}))


@pytest.mark.parametrize("method", ["gradient_ascent", "scrub"])
def test_a_path_ends_at_the_first_observed_place_that_reaches_a_level(study, method):
    accuracies = [row["UA"] for row in rows_of(study, method)]
    level = sorted(set(accuracies))[-2]  # below the start, and reached before the end
    last = next(place for place, ua in enumerate(accuracies) if ua <= level)
    whole, walked = walked_until(study, method, level)
    assert 0 < last < len(accuracies) - 1
    assert walked.record.doses == whole.result.doses[: last + 1]
    assert walked.record.passes == {role: counts[: last + 1] for role, counts in whole.result.passes.items()}
    assert (walked.record.status, walked.record.budget) == ("completed", whole.result.budget)
    tensors = whole.tensors("path.safetensors")
    for name in ("train.predictions", "train.losses", "test.losses"):
        assert torch.equal(walked.tensors[name], tensors[name][: last + 1])


def test_a_path_that_has_nothing_to_forget_makes_no_update_and_one_that_falls_short_ends_at_its_budget(study):
    _, walked = walked_until(study, "gradient_ascent", 1.0)
    assert (walked.record.doses, walked.record.updates, walked.record.budget) == ([0.0], [0], 40)
    _, walked = walked_until(study, "scrub", -1.0)
    assert walked.record.doses[-1] == walked.record.budget == 20


def test_a_level_changes_the_key_and_no_level_does_not(study):
    job, _ = paths(study, "scrub")
    assert "until" not in job.spec.spec()
    assert job.spec.model_copy(update={"until": 0.1}).spec() == job.spec.spec() | {"until": 0.1}


def test_a_bill_counts_updates_and_observed_places(study):
    job, finished = paths(study, "scrub")
    places = len(finished.result.doses)
    assert job.bill(Prices()) == Bill(20 * 2.0 + places * 100.0, places * 10 * 6)
    job, finished = paths(study, "fisher")
    assert job.bill(Prices()) == Bill(2 * 100.0, 2 * 10 * 6)
    assert len(finished.result.doses) == 2 + 1


def test_passes_in_bfloat16_change_the_path_a_little_and_no_score_of_the_start(study):
    """Scores are those of float32 passes: the start's are equal bit for bit."""
    _, store, _ = study
    job, finished = paths(study, "scrub")
    source = store.open(job.inputs["stage"], Checkpoint)
    low = job.spec.model_copy(update={"speed": UnlearningSpeed(bfloat16=True)})
    assert low.spec() == job.spec.spec() | {"speed": {"bfloat16": True}}
    walked = walk(source.result.training, weights_of(source), low)
    exact, mine = finished.tensors("path.safetensors")["train.losses"].float(), walked.tensors["train.losses"].float()
    assert torch.equal(mine[0], exact[0])
    apart, moved = (mine[1:] - exact[1:]).abs().mean(), (exact[1:] - exact[0]).abs().mean()
    assert 0 < apart < 0.1 * moved
    assert {p.dtype for p in walked.end.parameters()} == {torch.float32}


@pytest.mark.parametrize("method", ["scrub", "fisher"])
def test_between_the_ends_only_the_forgotten_and_the_drawn_are_scored(study, method):
    """Scores of what is looked at, and both ends, are those of a path on which everything is looked at."""
    _, store, _ = study
    job, finished = paths(study, method)
    source = store.open(job.inputs["stage"], Checkpoint)
    numbers = DrawnNumbers(retain=9, validation=5, test=7, moved=100)
    few = job.spec.model_copy(update={"observe": job.spec.observe.model_copy(update={"drawn": numbers})})
    assert few.spec()["observe"] == job.spec.spec()["observe"] | {"drawn": numbers.to_dict()}
    assert "drawn" not in job.spec.spec()["observe"]
    walked, every = walk(source.result.training, weights_of(source), few), finished.tensors("path.safetensors")
    own, middle = walked.tensors, slice(1, -1)
    assert walked.record.doses == finished.result.doses
    assert own["whole"].tolist() == [True, *[False] * (len(walked.record.doses) - 2), True]
    assert torch.isin(own["forget"], own["train.drawn"]).all()
    counts = {"train": len(own["forget"]) + 9, "validation": 5, "test": 7}
    for split, count in counts.items():
        index, losses, known = own[f"{split}.drawn"], own[f"{split}.losses"], every[f"{split}.losses"]
        assert len(index) == count < losses.shape[1]
        torch.testing.assert_close(losses[middle][:, index], known[middle][:, index])
        assert losses[middle].isnan().sum() == (losses.shape[1] - count) * (len(losses) - 2) > 0
        torch.testing.assert_close(losses[[0, -1]], known[[0, -1]])
        assert torch.equal(own[f"{split}.targets"], every[f"{split}.targets"])
        assert torch.equal(own[f"{split}.predictions"][:, index], every[f"{split}.predictions"][:, index])
    for name, values in walked.record.moved.items():
        assert values == pytest.approx(finished.result.moved[name], rel=1e-5), name


def test_a_bill_counts_what_is_scored_between_the_ends(study):
    job, finished = paths(study, "scrub")
    places = len(finished.result.doses)
    numbers = DrawnNumbers(retain=2, validation=1, test=3)
    few = job.spec.model_copy(update={"observe": job.spec.observe.model_copy(update={"drawn": numbers})})
    bill = Unlearn(few, job.inputs, "few").bill(Prices())
    assert bill.seconds == pytest.approx(20 * 2.0 + 2 * 100.0 + (places - 2) * 100.0 * 8 / 10)
