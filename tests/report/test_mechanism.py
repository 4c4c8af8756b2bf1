"""The mechanism part: numbers beside their nulls, predictions as computed, figures that can be read."""

from __future__ import annotations

import itertools
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from ungrok.core.errors import RecipeError
from ungrok.core.files import write_json, write_text
from ungrok.report import figures, mechanism_figures, write_report
from ungrok.report.mechanism import Mechanism, _said, across, sentences
from ungrok.report.tables import headline_verdicts
from ungrok.study.loading import to_yaml
from ungrok.study.results import MECHANISM

ARMS = {"slow": {"trajectory": {"batch_size": 32}}}
ANALYZE = [{"kind": "gradient_alignment"}, {"kind": "weight_norm"}]


def rows(
    view, measure, value, *, null=None, on="forget|retain", layer="model", analysis="gradient_alignment", forget="class"
):
    """Return the rows of one measure at every stage; ``value`` and ``null`` are functions of (seed, arm, stage)."""
    found = []
    for arm, seed, stage in view.plan.stages:
        place = {
            "seed": seed, "arm": arm, "stage": stage, "step": 100 if stage == "pre_grok" else 400, "forget": forget,
            "method": "", "dose": 0.0, "analysis": analysis, "measure": measure, "on": on, "layer": layer, "unit": "1",
        }  # fmt: skip
        found.append(place | {"null": "", "value": value(seed, arm, stage)})
        if null:
            low, high = null(seed, arm, stage)
            found.append(place | {"null": "permuted", "value": (low + high) / 2, "low": low, "high": high, "draws": 9})
    return found


def is_late(stage):
    return 0.0 if stage == "pre_grok" else 1.0


def measured(view, *groups):
    table = pd.DataFrame([row for group in groups for row in group], columns=MECHANISM)
    numbers = dict.fromkeys(("value", "low", "high", "draws", "dose"), "float64")
    return replace(view, results=replace(view.results, mechanism=table.astype(numbers)))


@pytest.fixture
def view(study):
    """A cosine that falls by 0.4 and leaves its null, a norm that does not change, a layered measure."""
    base = study(analyze=ANALYZE, arms=ARMS)
    cosine = rows(
        base, "gradient_cosine", lambda seed, arm, stage: 0.9 + seed / 1000 - 0.4 * is_late(stage),
        null=lambda seed, arm, stage: (0.8, 0.95),
    )  # fmt: skip
    norm = rows(base, "weight_norm", lambda *_: 3.0, on="", analysis="weight_norm")
    layered = [
        row
        for layer in ("conv1", "conv2", "fc")
        for row in rows(base, "gradient_cosine", lambda seed, arm, stage: is_late(stage), layer=layer)
    ]
    spectrum = [
        row
        for name, share in (("above_1e-3", 0.5), ("above_1e-1", 0.25), ("above_1e1", 0.0), ("below_-1e-1", 0.125))
        for row in rows(base, f"hessian_{name}", lambda *_, share=share: share, on="forget", analysis="curvature")
    ]
    return measured(base, cosine, norm, layered, spectrum)


def lines(cell):
    return cell if isinstance(cell, str) else list(cell.lines)


def test_nothing_where_nothing_is_analyzed(study):
    empty = Mechanism(study())
    assert list(empty.tables()) == []
    assert empty.sentences() == []
    assert list(mechanism_figures.pictures(empty)) == []


def test_values_stand_beside_their_nulls_and_changes_have_intervals(view):
    together, values, _ = Mechanism(view).tables()
    assert values.columns == ["measure", "on", "unit", "pre_grok", "grokked", "slow/pre_grok", "slow/grokked"]
    cosine, norm = values.rows
    assert cosine[:3] == ["gradient_cosine", "forget|retain", "1"]
    assert lines(cosine[3]) == ["0.904 ± 0.00245", "permuted [0.8,\xa00.95], outside in 0 of 8"]
    assert lines(cosine[4])[1] == "permuted [0.8,\xa00.95], outside in 8 of 8"
    assert lines(norm[3]) == ["3 ± 0"]
    change = next(row for row in together.rows if row[1] == "gradient_cosine")
    assert lines(change[3]) == ["−0.4", "[−0.4,\xa0−0.4]"]


def test_a_null_of_few_draws_has_no_quantiles(view):
    table = view.results.mechanism.copy()
    table.loc[table["null"] != "", "draws"] = 1.0
    few = replace(view, results=replace(view.results, mechanism=table))
    values = next(t for t in Mechanism(few).tables() if t.title.startswith("Measures of mechanism"))
    assert lines(values.rows[0][3])[1] == "permuted 0.875 (1 draw)"


def test_what_could_not_be_asked_is_not_another_answer():
    def answers(*words):
        table = pd.DataFrame({"on": "forget", "predicts": words, "forget": [str(i) for i in range(len(words))]})
        return _said(table)

    assert answers("no", "unknown") == "no"
    assert answers("unknown", "unknown") == "unknown"
    assert answers("no", "yes", "unknown") == "depends on the forget split"


def test_values_over_decades_have_a_logarithmic_axis(study):
    base = study(analyze=ANALYZE)
    wide = rows(
        base, "hessian_trace", lambda seed, arm, stage: 10.0 ** (3 * is_late(stage)), on="forget", analysis="curvature"
    )
    narrow = rows(base, "weight_norm", lambda seed, arm, stage: 2 + is_late(stage), on="", analysis="weight_norm")
    figure = next(mechanism_figures.pictures(Mechanism(measured(base, wide, narrow)))).figure
    scales = {
        axes.get_title(loc="left").split()[0]: axes.get_yscale() for axes in figure.axes if axes.get_title(loc="left")
    }
    assert scales == {"hessian_trace": "log", "weight_norm": "linear"}


def test_claims_and_measures_stand_in_one_table_one_column_per_comparison(study):
    compare = [["pre_grok", "grokked"], ["grokked", {"arm": "slow", "stage": "grokked"}]]
    base = study(analyze=ANALYZE, arms=ARMS, claims={"compare": compare, "targets": [0.1]})
    one = measured(
        base, rows(base, "gradient_cosine", lambda seed, arm, stage: seed + is_late(stage) + 5 * (arm == "slow"))
    )
    table = next(Mechanism(one).tables())
    assert table.columns == ["", "what", "on", "pre_grok → grokked", "grokked → slow/grokked"]
    by_name = {row[1]: row for row in table.rows}
    assert [lines(cell)[0] for cell in by_name["gradient_cosine"][3:]] == ["1", "5"]
    found = [v["verdict"] for v in figures_of(one, "efficiency", "grokked → slow/grokked")]
    assert found
    assert lines(by_name["efficiency"][4]) == [f"{len(found)} {found[0]}"]
    assert by_name["efficiency"][4].tone == found[0]


def test_measures_of_two_forget_splits_are_compared(study):
    splits = [{"kind": "classes", "name": name, "classes": 1, "fraction": 1.0} for name in ("early", "late")]
    sides = [{"stage": "grokked", "forget": name} for name in ("early", "late")]
    base = study(analyze=ANALYZE, forget=splits, claims={"compare": [sides], "targets": [0.1]})
    one = measured(
        base,
        rows(base, "gradient_cosine", lambda seed, arm, stage: 0.1 * seed, forget="early"),
        rows(base, "gradient_cosine", lambda seed, arm, stage: 0.1 * seed + 2 + is_late(stage), forget="late"),
    )
    *_, table = [t for t in Mechanism(one).tables() if t.title.startswith("Arms, measures and claims")]
    assert table.columns == ["", "what", "on", "grokked/early → grokked/late"]
    by_name = {row[1]: row for row in table.rows}
    assert lines(by_name["gradient_cosine"][3]) == ["3", "[3,\xa03]"]
    found = [v["verdict"] for v in figures_of(one, "efficiency", "grokked/early → grokked/late")]
    assert sum(int(line.split()[0]) for line in lines(by_name["efficiency"][3])) == len(found) > 0


def test_one_stage_alone_has_no_figure_along_training(study):
    base = study(analyze=ANALYZE, stages=["grokked"], claims={"compare": [], "targets": [0.1]})
    one = measured(base, rows(base, "gradient_cosine", lambda seed, arm, stage: 0.1 * seed))
    assert list(mechanism_figures.pictures(Mechanism(one))) == []


def figures_of(view, claim, comparison):
    return [v for v in headline_verdicts(view) if (v["claim"], v["comparison"]) == (claim, comparison)]


def test_what_is_predicted_is_what_was_computed(view):
    part = Mechanism(view)
    table = list(part.tables())[2]
    own = part.mediation[(part.mediation["measure"] == "gradient_cosine") & (part.mediation["outcome"] == "updates")]
    row = next(r for r in table.rows if r[0] == "gradient_cosine")
    assert row[8 - 2] == f"{own['rank_correlation'].item():.2f}".replace("-", "−")
    assert row[8] == own["predicts"].item()
    assert part.sentences()[0].startswith("gradient_cosine: does it predict beyond test accuracy? damage: ")


def test_texts_hold_no_code(view):
    assert not [table for table in Mechanism(view).tables() if "{" in table.title + table.how]


def test_constant_measures_predict_nothing(view):
    assert (
        "weight_norm: does it predict beyond test accuracy? damage: unknown; updates: unknown."
        in Mechanism(view).sentences()
    )


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context(figures.STYLE):
        yield


def boxes(figure):
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    found = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    return [(t, t.get_window_extent(renderer)) for t in found]


def test_figures_are_named_and_nothing_in_them_is_covered_or_too_small(view):
    drawn = {picture.name: picture.figure for picture in mechanism_figures.pictures(Mechanism(view))}
    assert set(drawn) == {"mechanism-class", "layers-class", "spectra-class", "mediation-class"}
    for name, figure in drawn.items():
        placed = boxes(figure)
        assert all(text.get_fontsize() >= 8 for text, _ in placed), name
        ticks = {
            t for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels(which="both")
        }
        labels = [box.padded(-1) for text, box in placed if text not in ticks]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(labels, 2)), name


@pytest.mark.parametrize("stem", ["conv", "model.layers.0.post_attention_layernorm."])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_heat_maps_stay_within_their_figure(study, stem, count):
    base = study(analyze=ANALYZE, arms=ARMS)
    groups = [
        rows(
            base,
            "covariance_overlap_split_half",
            lambda seed, arm, stage: is_late(stage),
            layer=f"{stem}{i}",
            analysis=f"a{n}",
        )
        for n in range(count)
        for i in range(2 + 9 * n)
    ]
    figure = next(
        p for p in mechanism_figures.pictures(Mechanism(measured(base, *groups))) if "layers" in p.name
    ).figure
    placed = boxes(figure)
    width, height = figure.bbox.width, figure.bbox.height
    assert all(-1 <= b.x0 <= b.x1 <= width + 1 and -1 <= b.y0 <= b.y1 <= height + 1 for _, b in placed)
    assert len([axes for axes in figure.axes if axes.images]) == count


def test_points_and_bands_are_the_values_and_the_nulls_under_the_accuracy_curves(view):
    figure = next(mechanism_figures.pictures(Mechanism(view))).figure
    top, axes = figure.axes[0], figure.axes[2]
    curves = view.results.curves[(view.results.curves["arm"] == "base") & (view.results.curves["step"] > 0)]
    for line, name in zip(top.lines, ("train_accuracy", "test_accuracy"), strict=True):
        expected = curves.astype({name: float}).groupby("step")[name].median()
        assert dict(zip(*line.get_data(), strict=True)) == expected.to_dict()
    assert top.get_xlim() == axes.get_xlim()
    drawn = {(float(x), float(y)) for line in axes.lines for x, y in zip(*line.get_data(), strict=True)}
    assert (100.0, 0.9) in drawn
    assert any(x == 400 and y == pytest.approx(0.507) for x, y in drawn)
    band = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    assert {tuple(v) for v in band} == {(100.0, 0.8), (100.0, 0.95), (400.0, 0.8), (400.0, 0.95)}


def test_spectra_are_the_shares_beyond_each_power_of_ten(view):
    drawn = {picture.name: picture.figure for picture in mechanism_figures.pictures(Mechanism(view))}
    axes, *_ = drawn["spectra-class"].axes
    assert axes.get_title(loc="left") == "base, forget"
    above, below = axes.lines[:2]
    assert dict(zip(*above.get_data(), strict=True)) == {0.001: 0.5, 0.1: 0.25}
    assert dict(zip(*below.get_data(), strict=True)) == {0.1: 0.125}


def test_the_page_has_a_section_and_the_numbers_lie_beside_it(view, tmp_path):
    page = write_report(tmp_path, view.plan, view.results, view.verdicts, {}, view.budgets).read_text(encoding="utf-8")
    assert '<h2 id="mechanism">' in page
    assert "does it predict beyond test accuracy?" in page
    table = pd.read_csv(tmp_path / "report" / "mediation.csv")
    assert set(table["measure"]) == {"gradient_cosine", "weight_norm"}


def write(view, folder, name):
    """Write what a study leaves, under another name of its recipe."""
    (folder / "report").mkdir(parents=True)
    write_text(folder / "recipe.yaml", to_yaml(view.recipe).replace("name: by-hand", f"name: {name}"))
    view.results.rows.to_parquet(folder / "results.parquet")
    view.results.mechanism.to_parquet(folder / "mechanism.parquet")
    doses = {method: {"budget": b, "matched": m} for method, (b, m) in view.budgets.items()}
    write_json(folder / "provenance.json", {"doses": doses})
    write_json(folder / "report" / "verdicts.json", [])
    return folder


def test_over_several_studies_each_is_left_out_once(view, study, tmp_path):
    one, two = write(view, tmp_path / "one", "one"), write(view, tmp_path / "two", "two")
    found = across([one, two])
    row = found[(found["measure"] == "gradient_cosine") & (found["outcome"] == "updates")].iloc[0]
    assert (row["recipes"], row["seeds"], row["points"]) == (2, 16, 2 * 8 * 3)
    assert set(row["without"]) == {"one", "two"}
    (text,) = [s for s in sentences(found) if s.startswith("gradient_cosine")]
    assert (
        f"updates: {row['predicts']} ({row['without']['one']} without one, {row['without']['two']} without two)" in text
    )
    with pytest.raises(RecipeError, match="stands more than once"):
        across([one, one])
    with pytest.raises(RecipeError, match="holds no measures"):
        across([one, write(study(), tmp_path / "three", "three")])
