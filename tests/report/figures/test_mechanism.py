"""Figures of measures: what is drawn, and that nothing is covered or cut off."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ungrok.report.figures.mechanism import pictures
from ungrok.report.mechanism import Mechanism

ARMS = {"slow": {"trajectory": {"batch_size": 32}}}
ANALYZE = [{"kind": "gradient_alignment"}, {"kind": "weight_norm"}]


def is_late(stage):
    return 0.0 if stage == "pre_grok" else 1.0


def test_values_over_decades_have_a_logarithmic_axis(study, measures, with_measures, style):
    base = study(analyze=ANALYZE)
    wide = measures(
        base, "hessian_trace", lambda seed, arm, stage: 10.0 ** (3 * is_late(stage)), on="forget", analysis="curvature"
    )
    narrow = measures(base, "weight_norm", lambda seed, arm, stage: 2 + is_late(stage), on="", analysis="weight_norm")
    figure = next(pictures(Mechanism(with_measures(base, wide, narrow)))).figure
    scales = {
        axes.get_title(loc="left").partition(" on")[0]: axes.get_yscale()
        for axes in figure.axes
        if axes.get_title(loc="left")
    }
    assert scales == {"hessian trace": "log", "weight norm": "linear"}


def test_one_stage_alone_has_no_figure_along_training(study, measures, with_measures, style):
    base = study(analyze=ANALYZE, stages=["grokked"], claims={"compare": [], "targets": [0.1]})
    one = with_measures(base, measures(base, "gradient_cosine", lambda seed, arm, stage: 0.1 * seed))
    assert list(pictures(Mechanism(one))) == []


def test_figures_are_named_and_nothing_in_them_is_covered_or_too_small(measured_study, texts, style):
    drawn = {picture.name: picture.figure for picture in pictures(Mechanism(measured_study))}
    assert set(drawn) == {"mechanism-class", "layers-class", "spectra-class", "mediation-class"}
    for name, figure in drawn.items():
        placed = texts(figure)
        assert all(text.get_fontsize() >= 8 for text, _ in placed), name
        ticks = {
            t for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels(which="both")
        }
        labels = [box.padded(-1) for text, box in placed if text not in ticks]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(labels, 2)), name


@pytest.mark.parametrize("stem", ["conv", "model.layers.0.post_attention_layernorm."])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_heat_maps_stay_within_their_figure(study, stem, count, measures, with_measures, texts, style):
    base = study(analyze=ANALYZE, arms=ARMS)
    groups = [
        measures(
            base,
            "covariance_overlap_split_half",
            lambda seed, arm, stage: is_late(stage),
            layer=f"{stem}{i}",
            analysis=f"a{n}",
        )
        for n in range(count)
        for i in range(2 + 9 * n)
    ]
    figure = next(p for p in pictures(Mechanism(with_measures(base, *groups))) if "layers" in p.name).figure
    placed = texts(figure)
    width, height = figure.bbox.width, figure.bbox.height
    assert all(-1 <= b.x0 <= b.x1 <= width + 1 and -1 <= b.y0 <= b.y1 <= height + 1 for _, b in placed)
    assert len([axes for axes in figure.axes if axes.images]) == count


def test_points_and_bands_are_the_values_and_the_nulls_under_the_accuracy_curves(measured_study, style):
    figure = next(pictures(Mechanism(measured_study))).figure
    top, axes = figure.axes[0], figure.axes[2]
    curves = measured_study.results.curves[
        (measured_study.results.curves["arm"] == "base") & (measured_study.results.curves["step"] > 0)
    ]
    for line, name in zip(top.lines, ("train_accuracy", "test_accuracy"), strict=True):
        expected = curves.astype({name: float}).groupby("step")[name].median()
        assert dict(zip(*line.get_data(), strict=True)) == expected.to_dict()
    assert top.get_xlim() == axes.get_xlim()
    drawn = {(float(x), float(y)) for line in axes.lines for x, y in zip(*line.get_data(), strict=True)}
    assert (100.0, 0.9) in drawn
    assert any(x == 400 and y == pytest.approx(0.507) for x, y in drawn)
    band = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    assert {tuple(v) for v in band} == {(100.0, 0.8), (100.0, 0.95), (400.0, 0.8), (400.0, 0.95)}


def test_spectra_are_the_shares_beyond_each_power_of_ten(measured_study, style):
    drawn = {picture.name: picture.figure for picture in pictures(Mechanism(measured_study))}
    axes, *_ = drawn["spectra-class"].axes
    assert axes.get_title(loc="left") == "base, forget"
    above, below = axes.lines[:2]
    assert dict(zip(*above.get_data(), strict=True)) == {0.001: 0.5, 0.1: 0.25}
    assert dict(zip(*below.get_data(), strict=True)) == {0.1: 0.125}
