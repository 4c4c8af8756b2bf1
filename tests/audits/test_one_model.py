"""One model beside shadow models, against loops over models and examples, and on models that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import ungrok
from ungrok.audits.one_model import against, one_model
from ungrok.audits.shadows import Shadows, save_shadows
from ungrok.core.errors import RecipeError

MODELS, EXAMPLES = 12, 15


def drawn(seed=0, models=MODELS):
    draw = np.random.default_rng(seed)
    hard = draw.normal(size=EXAMPLES)
    return (
        hard + draw.normal(size=EXAMPLES),
        hard + draw.normal(size=(models, EXAMPLES)),
        hard + 2 + draw.normal(size=(models, EXAMPLES)),
    )


def density(x, values):
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return math.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(variance), mean, math.sqrt(variance)


def slow(own, never, held):
    """Return both values of one model."""
    ratios, away = [], []
    for i, x in enumerate(own):
        inside, (outside, mean, deviation) = density(x, held[:, i])[0], density(x, never[:, i])
        ratios.append(inside / (inside + outside))
        away.append((x - mean) / deviation)
    m = sum(away) / len(away)
    s = math.sqrt(sum((z - m) ** 2 for z in away) / len(away))
    return {"ulira": sum(ratios) / len(ratios), "klom": -math.log(s) + (s**2 + m**2) / 2 - 0.5}


def test_every_model_is_scored_by_fits_without_it():
    own, never, held = drawn()
    told = one_model(own, never, held)
    together = np.concatenate([own[None], never])
    for name, one in told.items():
        every = [slow(together[k], np.delete(together, k, axis=0), held)[name] for k in range(MODELS + 1)]
        assert one.value == pytest.approx(every[0])
        assert one.null == pytest.approx(every[1:])
        kept = [slow(held[k], never, np.delete(held, k, axis=0))[name] for k in range(MODELS)]
        assert one.original == pytest.approx(np.mean(kept))
        assert one.p == sum(value >= every[0] for value in every) / (MODELS + 1)


def test_a_model_that_never_saw_the_set_has_every_rank_equally_often():
    ranks = [round(one_model(*drawn(seed))["ulira"].p * (MODELS + 1)) for seed in range(130)]
    counts = np.bincount(ranks, minlength=MODELS + 2)[1:]
    assert ((counts - 10.0) ** 2 / 10).sum() < 28.3, "chi squared with 12 degrees of freedom, 99.5 %"


def test_a_model_of_which_nothing_was_unlearned_has_the_smallest_p():
    _, never, held = drawn(models=30)
    told = one_model(held[0], never, held[1:])
    assert {one.p for one in told.values()} == {1 / 31}
    assert told["ulira"].value > told["ulira"].null_interval.high


class Same(nn.Module):
    """Gives every example, which is its own margin, the logits (margin, 0)."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.cat([self.factor * x, torch.zeros_like(x)], dim=1)


def shadows():
    own, never, held = drawn()
    margins = np.concatenate([never, held])
    logits = np.stack([margins, np.zeros_like(margins)], axis=-1).astype(np.float16)
    zeros = np.zeros(EXAMPLES, dtype=np.int64)
    inside = np.repeat([[False], [True]], [MODELS, MODELS], axis=0) & np.ones(EXAMPLES, dtype=bool)
    return own, Shadows(
        "grokked", 24, np.arange(24), inside, logits, logits, zeros, zeros, {"class": np.arange(EXAMPLES)}
    )  # fmt: skip


def test_an_audit_puts_the_unlearned_model_beside_the_shadows_of_a_folder(tmp_path):
    own, stage = shadows()
    save_shadows(tmp_path / "shadows", [stage])
    x, y = torch.tensor(own, dtype=torch.float32)[:, None], torch.zeros(EXAMPLES, dtype=torch.int64)
    other = [(torch.randn(6, 1), torch.tensor([0, 1, 0, 1, 0, 1]))]
    report = ungrok.audit(
        Same(), Same(), forget=[(x, y)], retain=other, test=[(torch.randn(6, 1), other[0][1])], shadows=tmp_path
    )
    rounded = np.stack([own, np.zeros_like(own)], axis=-1).astype(np.float16).astype(float)
    expected = one_model(rounded[:, 0], stage.never("class"), stage.original("class"))
    told = report.to_dict()["shadows"]
    assert (told["stage"], told["forget"], told["models"]) == ("grokked", "class", [MODELS, MODELS])
    for name, one in expected.items():
        assert told["measures"][name]["value"] == pytest.approx(one.value, abs=1e-6)
        assert told["measures"][name]["p"] == one.p
    assert f"p {expected['ulira'].p:.3f}" in str(report)


def test_another_forget_set_is_refused():
    _, stage = shadows()
    with pytest.raises(RecipeError, match=r"forget: 3 examples, and none of the sets .* class of 15"):
        against(stage, np.zeros((3, 2)), [0, 0, 0])
