"""TOFU's metrics against loops, closed forms, and the logs of public runs."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ungrok.core.errors import RecipeError
from ungrok.evaluate.tofu import (
    FILES,
    forget_quality,
    model_utility,
    nearness_to_one,
    probability,
    truth_ratio,
    utility_parts,
)


@pytest.fixture(scope="module")
def golden():
    """Return the per-example logs of public Llama-2-7B runs (locuslab/tofu, MIT), or skip."""
    folder = Path(os.environ.get("UNGROK_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")) / "tofu"
    if not folder.is_dir():
        pytest.skip("needs the logs of public runs under UNGROK_GOLDEN")
    return {p.stem.removeprefix("llama2-7b_"): json.loads(p.read_text()) for p in folder.glob("*.json")}


@pytest.mark.parametrize(
    ("name", "value"),
    [("full", 0.6226773637), ("retain90", 0.6137449952), ("retain95", 0.6005765317), ("retain99", 0.6207444756)],
)
def test_model_utility_of_public_runs(golden, name, value):
    assert model_utility(golden[name]) == pytest.approx(value, abs=5e-11)


def test_forget_quality_of_public_runs(golden):
    found = forget_quality(golden["full"], golden["retain90"])
    assert found.p_value == pytest.approx(1.834066e-21, rel=5e-7)
    assert found.statistic == pytest.approx(0.396667, abs=5e-7)
    assert forget_quality(golden["retain90"], golden["retain90"]) == (1.0, 0.0)


def logs(seed=0, n=7, wrong=3):
    draw = np.random.default_rng(seed)
    table = lambda values: {str(i): v for i, v in enumerate(values.tolist())}  # noqa: E731
    return {
        file: {
            "avg_gt_loss": table(draw.exponential(size=n)),
            "avg_paraphrased_loss": table(draw.exponential(size=n)),
            "average_perturb_loss": table(draw.exponential(size=(n, wrong))),
            "rougeL_recall": table(draw.uniform(size=n)),
        }
        for file in FILES.values()
    }


def slow_utility(found, mean):
    numbers = []
    for name in ("retain", "real_authors", "world_facts"):
        table = found[FILES[name]]
        probabilities, ratios = [], []
        for key in table["avg_gt_loss"]:
            p, wrong = math.exp(-table["avg_gt_loss"][key]), [math.exp(-x) for x in table["average_perturb_loss"][key]]
            probabilities.append(p if name == "retain" else p / (p + sum(wrong)))
            middle = sum(wrong) / len(wrong) if mean == "arithmetic" else math.prod(wrong) ** (1 / len(wrong))
            ratio = middle / math.exp(-table["avg_paraphrased_loss"][key])
            ratios.append(max(0.0, 1 - ratio))
        numbers += [np.mean(list(table["rougeL_recall"].values())), np.mean(probabilities), np.mean(ratios)]
    return len(numbers) / sum(1 / x for x in numbers)


@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_model_utility_is_that_of_a_loop(mean):
    for seed in range(3):
        assert model_utility(logs(seed), mean) == pytest.approx(slow_utility(logs(seed), mean), rel=1e-12)
    assert model_utility(logs()) == model_utility(logs(), "geometric") != model_utility(logs(), "arithmetic")


def test_the_two_means_of_the_truth_ratio():
    right, wrong = np.array([1.0]), np.array([[1.0, 3.0]])
    assert truth_ratio(right, wrong, "arithmetic")[0] == pytest.approx((1 + math.exp(-2)) / 2)
    assert truth_ratio(right, wrong, "geometric")[0] == pytest.approx(math.exp(-1))
    assert truth_ratio(right, np.array([[1.0, 1.0]]), "geometric")[0] == pytest.approx(1)


def test_what_random_perfect_and_broken_models_give():
    n = 50
    same = np.full(n, 2.0)
    assert probability(same, np.full((n, 3), 2.0)) == pytest.approx(0.25)
    assert truth_ratio(same, np.full((n, 3), 2.0), "arithmetic") == pytest.approx(1)
    assert probability(np.zeros(n), np.full((n, 3), 60.0)) == pytest.approx(1)
    broken = logs()
    broken[FILES["world_facts"]]["rougeL_recall"] = dict.fromkeys(map(str, range(7)), 0.0)
    assert utility_parts(broken)["world_facts ROUGE"] == 0
    assert model_utility(broken) == 0


def test_forget_quality_is_the_test_of_geometric_ratios():
    a, b = logs(1, 40), logs(2, 40)
    ratios = []
    for found in (a, b):
        table = found[FILES["forget"]]
        ratios.append(
            [
                math.exp(table["avg_paraphrased_loss"][k] - np.mean(table["average_perturb_loss"][k]))
                for k in table["avg_paraphrased_loss"]
            ]
        )
    expected = stats.ks_2samp(*ratios)
    assert forget_quality(a, b) == pytest.approx((expected.pvalue, expected.statistic))


def test_logs_that_lack_something():
    with pytest.raises(RecipeError, match=r"logs: no 'eval_log.json'; there: other"):
        model_utility({"other": {}})
    found = logs()
    del found["eval_log.json"]["rougeL_recall"]
    with pytest.raises(RecipeError, match=r"eval_log.json has no 'rougeL_recall'; there: avg_gt_loss"):
        model_utility(found)


def test_the_order_of_examples_may_differ_between_columns():
    known, turned = logs(), logs()
    for table in turned.values():
        table["average_perturb_loss"] = dict(reversed(table["average_perturb_loss"].items()))
    assert list(turned[FILES["forget"]]["average_perturb_loss"]) != list(known[FILES["forget"]]["average_perturb_loss"])
    for mean in ("geometric", "arithmetic"):
        assert utility_parts(turned, mean) == pytest.approx(utility_parts(known, mean), rel=1e-12)
    assert forget_quality(turned, logs(1)) == forget_quality(known, logs(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda column: column.pop("3"), "'average_perturb_loss' and 'avg_gt_loss' differ in 1 examples, such as '3'"),
        (lambda column: column.update({"7": column.pop("3")}), "differ in 2 examples, such as '3'"),
        (lambda column: column.update({"3": [1.0]}), "'average_perturb_loss' does not hold numbers, as many for each"),
        (lambda column: column.update({"3": [None] * 3}), "'average_perturb_loss' does not hold numbers"),
        (lambda column: column.update({"3": [math.nan] * 3}), "'average_perturb_loss' does not hold numbers"),
        (lambda column: column.update({"3": "a"}), "'average_perturb_loss' does not hold numbers"),
    ],
)
def test_columns_that_cannot_be_aligned_are_refused(change, message):
    broken = logs()
    change(broken[FILES["forget"]]["average_perturb_loss"])
    with pytest.raises(RecipeError, match=f"logs: eval_log_forget.json: .*{message}"):
        forget_quality(broken, logs(1))


def test_nearness_to_one_by_hand():
    """Twice as likely and half as likely are equally far; a true answer without any chance counts as 0."""
    assert nearness_to_one(np.array([1.0, 2.0, 0.5, 0.0])) == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert nearness_to_one(np.array([np.inf])) == 0


def test_examples_are_told_by_their_keys_not_their_places(golden):
    logs = golden["retain90"]
    turned = {
        name: table | {"average_perturb_loss": dict(reversed(table["average_perturb_loss"].items()))}
        for name, table in logs.items()
    }
    assert list(turned[FILES["retain"]]["average_perturb_loss"]) != list(logs[FILES["retain"]]["average_perturb_loss"])
    assert model_utility(turned) == model_utility(logs)
    assert forget_quality(turned, golden["full"]) == forget_quality(logs, golden["full"])
