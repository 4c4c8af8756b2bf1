"""Studies made by hand: a plan from a real recipe, and results from a rule that says when each path reaches UA 0."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from ungrok.audits.planted import MAY_SPEAK
from ungrok.audits.shadows import Shadows, Unlearned
from ungrok.audits.table import table as audit_table
from ungrok.evaluate.targets import target_column
from ungrok.report.evidence import Evidence
from ungrok.report.evidence_numbers import FiledMeasure
from ungrok.report.families import ClassReport
from ungrok.report.figures.drawing import STYLE
from ungrok.report.figures.front import front
from ungrok.report.tables.ends import AUCS, DISTANCES, SHARES
from ungrok.report.view import View
from ungrok.study.claims import Doses, judge
from ungrok.study.loading import load, validate
from ungrok.study.looks import Look
from ungrok.study.plan import Plan, make_plan
from ungrok.study.privacy import privacy
from ungrok.study.recipe import Recipe
from ungrok.study.results import KEYS, MECHANISM, Results
from ungrok.study.results_stress import LASTING, STRESS
from ungrok.study.verdict_file import FiledVerdict

TINY_TEXT = Path(__file__).parents[1] / "study" / "tiny-text.yaml"
BUDGET, DOSE = 100.0, 50.0
STEPS = {"pre_grok": 100, "memorized": 80, "grokked": 400, "final": 1000}
GRID = [0, 10, 50, 100, 200, 400, 1000]

Hit = Callable[[Any], float | None]


def recipe(**changes):
    content = {
        "name": "by-hand",
        "seeds": [0, 1, 2, 3, 4, 5, 6, 7],
        "problem": {"kind": "digits"},
        "model": {"kind": "mlp"},
        "trajectory": {"steps": 1000},
        "stages": ["pre_grok", "grokked"],
        "forget": [{"kind": "class"}],
        "unlearn": [{"kind": "gradient_ascent"}],
        "claims": {"compare": [["pre_grok", "grokked"]], "targets": [0.1, "oracle"]},
    }
    return validate(content | changes)


def step_of(stage):
    """Return the step of a stage; controls stand at that of the grokked stage."""
    return int(stage[5:]) if stage.startswith("step-") else STEPS.get(stage, STEPS["grokked"])


def path(cell, hit, targets, *, ua0=1.0, diverges=False):
    """Return the rows of a path whose UA falls from ``ua0`` to 0, RA and TA by 0.1, at dose ``hit``."""
    rows = []
    for dose in sorted({0.0, 1.0, DOSE, BUDGET, *([hit] if hit else [])}):
        done = hit is not None and dose >= hit
        broken = diverges and dose == BUDGET
        ua, ra, ta = (np.nan,) * 3 if broken else (0.0, 0.9, 0.8) if done else (ua0, 1.0, 0.9)
        reached = {target_column(t): ua0 <= (0.2 if t == "oracle" else t) or done for t in targets}
        rows.append(
            {
                "seed": cell.seed, "arm": cell.arm, "stage": cell.stage, "step": step_of(cell.stage),
                "forget": cell.forget, "method": cell.method, "dose": float(dose),
                "updates": None if cell.method == "fisher" else int(dose), "UA": ua, "RA": ra, "TA": ta,
                "bystander_accuracy": ta, "validation_accuracy": ta, "oracle_bystander_accuracy": 0.85,
                "oracle_validation_accuracy": 0.85, "moved_retain": dose / 100, "diverged": broken, "rewound": dose == DOSE,
                "membership_auc": ua / 2 + 0.4, "oracle_UA": 0.2, "oracle_RA": 1.0, "oracle_TA": 0.8, "oracle_gap": abs(ua - 0.2) / 3, **reached,
            }
        )  # fmt: skip
    return rows


def results(plan, hit, *, absent=lambda cell: False, **kwargs):
    targets = plan.recipe.claims.targets
    rows = [row for cell in plan.paths if not absent(cell) for row in path(cell, hit(cell), targets, **kwargs)]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*KEYS, "dose"])
    for column in [c for c in table if c.startswith("reached")]:
        table[column] = table[column].astype("boolean")
    if rows:
        table["updates"] = table["updates"].astype("Int64")
    ends = audits([cell for cell in plan.paths if not absent(cell)], hit)
    nothing = pd.DataFrame(columns=MECHANISM)
    return Results(table, transitions(plan, absent), oracles(plan), curves(plan), timings(plan), ends, nothing)


def audits(cells, hit):
    """Return audits in which what is measured is a function of the seed, and absent where the target was never reached."""
    names = [*AUCS, *(f"oracle_{name}" for name in AUCS), *DISTANCES, *SHARES]
    rows = []
    for cell in cells:
        place = dict(
            zip(KEYS, (cell.seed, cell.arm, cell.stage, step_of(cell.stage), cell.forget, cell.method), strict=True)
        )
        values = {name: (k + cell.seed) / 100 if hit(cell) else None for k, name in enumerate(names)}
        rows.append(place | {"dose": BUDGET, "diverged": not hit(cell)} | values)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*KEYS, "dose"])


class Where:
    def __init__(self, arm, seed, stage):
        self.arm, self.seed, self.stage, self.forget, self.method = arm, seed, stage, None, None


def transitions(plan, absent):
    rows = []
    for arm, seed in plan.trajectories:
        stages = {
            f"stage_{s}": None if absent(Where(arm, seed, s)) else step_of(s) for s in map(str, plan.recipe.stages)
        }
        gone = stages.get("stage_grokked", 1) is None
        rows.append(
            {
                "seed": seed, "arm": arm, "status": "memorized_only" if gone else "grokked",
                "memorized_step": 50, "memorized_after": 10, "grokked_step": None if gone else 400,
                "grokked_after": None if gone else 200, "delay": None if gone else 8.0, "level": 0.9,
                "change_point": 141.4, "change_point_r2": 0.9, "onset": None if gone else 100, **stages,
                "final_train_accuracy": 1.0, "final_validation_accuracy": 0.95, "final_test_accuracy": 0.94,
            }
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    whole = [c for c in frame if c.endswith(("_step", "_after")) or c.startswith("stage_") or c == "onset"]
    frame[whole] = frame[whole].astype("Int64")
    return frame.astype({"delay": float})


def oracles(plan):
    rows = []
    for arm, seed, forget, stage in plan.oracles:
        second = (arm, seed, forget, stage) in plan.noise
        rows.append(
            {
                "seed": seed, "arm": arm, "forget": forget, "stage": stage, "step": step_of(stage),
                "oracle_status": "grokked" if seed else "memorized_only", "UA": 0.2, "RA": 1.0, "TA": 0.8,
                "second_UA": 0.26 if second else None, "second_RA": 0.97 if second else None,
                "second_TA": 0.8 if second else None,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def curves(plan):
    frames = []
    for arm, seed in plan.trajectories:
        x = np.array(GRID) / 1000
        frame = pd.DataFrame(
            {"arm": arm, "seed": seed, "step": GRID, "weight_norm": 10 - x, "gradient_norm": 1 - x / 2}
        )
        for name in ("train", "validation", "test"):
            frame[f"{name}_accuracy"], frame[f"{name}_loss"] = 0.1 + 0.9 * x, 2 - x
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def timings(plan):
    """Return 0.01 s per training step and 0.5 s per update of unlearning."""
    pace = {"train": 0.01, "unlearn": 0.5}
    rows = [
        {"kind": j.kind, "key": k, "seconds": 1.0, "seconds_per_update": pace.get(j.kind)} for k, j in plan.jobs.items()
    ]
    return pd.DataFrame(rows)


def view(recipe, hit, **kwargs):
    plan = make_plan(recipe)
    tables = results(plan, hit, **kwargs)
    doses = {m: Doses(BUDGET, DOSE) for m in recipe.unlearn_labels() if (tables.rows["method"] == m).any()}
    return View(plan, tables, judge(tables.rows, recipe, doses), doses)


def later_is_slower(cell):
    """Reach the target at update 10 + seed from an early stage, and 20 later from any other."""
    return 10.0 + cell.seed + (0 if cell.stage == "pre_grok" else 20)


@pytest.fixture(scope="session")
def study():
    """Return a function that makes a study: recipe keys, a rule for the hits, and options of :func:`results`."""
    return lambda hit=later_is_slower, options=None, **changes: view(recipe(**changes), hit, **(options or {}))


SWAPPED = {
    "seeds": list(range(12)),
    "trajectory": {"steps": 1000, "batch_size": 40, "exposure": {"kind": "staggered", "within": "class"}},
    "stages": ["final"],
    "forget": [{"kind": "exposed", "group": group, "size": 6} for group in ("late", "early")],
    "analyze": [{"kind": "gradient_alignment"}],
    "claims": {
        "compare": [[{"stage": "final", "forget": f"{group}-6"} for group in ("late", "early")]],
        "targets": [0.1],
    },
}


def planted(seed):
    """Return what one seed has of its examples alone: the partner of a swapped pair has as much of the opposite sign."""
    return 0.3 * (1 + seed // 2) * (-1) ** seed


@pytest.fixture
def swapped_study(study):
    """Return a study of six swapped pairs of seeds, and what a seed has of its examples alone."""
    return study(**SWAPPED), planted


@pytest.fixture
def searched():
    """Return a function that adds paths at other rates to a study of gradient ascent at 0.001.

    ``scale`` says by how much each factor of the rate multiplies the updates (None: the target is never reached), ``lost`` how much
    validation accuracy is gone there.
    """

    def made(scale, lost=None):
        base = view(recipe(unlearn=[{"kind": "gradient_ascent", "lr": 0.001}]), later_is_slower)
        cells, targets, rows = base.plan.paths, base.recipe.claims.targets, [base.results.rows]
        for factor, times in scale.items():
            for cell in cells:
                hit = None if times is None else times * later_is_slower(cell)
                here = pd.DataFrame(path(cell, hit, targets))
                rows.append(here.assign(method=f"gradient_ascent lr={0.001 * factor:g}"))
        table = pd.concat(rows, ignore_index=True)
        for factor, drop in (lost or {}).items():
            label = "gradient_ascent" if factor == 1 else f"gradient_ascent lr={0.001 * factor:g}"
            own = (table["method"] == label) & (table["UA"] < 0.5)
            table.loc[own, "validation_accuracy"] = 0.9 - drop
        for column in [c for c in table if c.startswith("reached")]:
            table[column] = table[column].astype("boolean")
        return replace(base, results=replace(base.results, rows=table))

    return made


@pytest.fixture
def from_pre():
    """Return a rule: the target is reached from pre_grok at the given times (None: never), from any other stage at ``later``."""
    return lambda times, later=None: lambda cell: times[cell.seed] if cell.stage == "pre_grok" else later


@pytest.fixture
def plain():
    """Return a function that gives a row's cells as text, lines parted by a slash."""

    def texts(row):
        lines = [cell if isinstance(cell, str) else "/".join(cell.lines) for cell in row]
        return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]

    return texts


@pytest.fixture
def style():
    """Draw as reports are drawn."""
    with mpl.rc_context(STYLE):
        yield


@pytest.fixture
def texts():
    """Return a function that gives the visible texts of a figure with their extents."""

    def placed(figure):
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        visible = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
        return [(t, t.get_window_extent()) for t in visible]

    return placed


@pytest.fixture
def drawn(style):
    """Return a function that draws every figure of a study on classifiers, by name."""
    return lambda view: {p.name: p.figure for p in [*front(view), *ClassReport().pictures(view)]}


ATTACKS = {
    "relearn": (
        "relearn",
        "updates",
        {"share 0, lr 0.01": (0.0, 0.01), "share 0.1, lr 0.02": (0.1, 0.02)},
        (0, 1, 10, 100),
    ),
    "quantize": ("quantize", "bits", {"": (None, None)}, (32, 8, 2)),
    "interpolate_original": ("interpolate", "t", {"": (None, None)}, (0, 0.5, 1)),
    "linear_probe": ("linear_probe", "layer", {"": (0.1, None)}, (0, 1, 2)),
    "prune": ("prune", "share", {"": (None, None)}, (0, 0.5)),
    "weight_noise": ("weight_noise", "level", {"": (None, None)}, (0, 0.4)),
}
"""By label: kind, what the path runs over, settings with share and rate, and doses."""


def attacked_ua(subject, stage, attack, setting, dose, seed):
    """Return UA under attack: an oracle has a hundredth per seed and, relearned with forgotten data to the end, 0.1 more; a second one 0.05 more.

    Relearning brings back 0.3 more than the oracle has from 10 updates on, with forgotten data 0.6 before and 0.8 after grokking; the
    linear probe nothing; everything else 0.2 at its last dose.
    """
    oracle = seed / 100 + (0.1 if attack == "relearn" and "0.1" in setting and dose == 100 else 0.0)
    if subject == "original":
        return 0.9
    if subject != "unlearned":
        return oracle + (0.05 if subject == "oracle_2" else 0.0)
    if attack == "relearn":
        return seed / 100 + ((0.8 if stage == "grokked" else 0.6) if "0.1" in setting else 0.3) * (dose >= 10)
    last = {name: doses[-1] for name, (_, _, _, doses) in ATTACKS.items()}[attack]
    return oracle + 0.2 * (dose == last and attack != "linear_probe")


def stress_rows(view, attacks, *, subjects, places=("0.1",)):
    rows = []
    for arm, seed, stage in view.plan.stages:
        models = [(subject, None, None) for subject in subjects if subject != "unlearned"]
        models += [("unlearned", method, place) for method in view.methods for place in places]
        for (subject, method, place), forget, attack in itertools.product(models, view.recipe.forget_labels(), attacks):
            kind, dose_name, settings, doses = ATTACKS[attack]
            for (setting, (share, lr)), dose in itertools.product(settings.items(), doses):
                who = {"seed": seed, "arm": arm, "stage": stage, "forget": forget, "method": method, "subject": subject}
                where = {"place": place, "place_dose": 20.0 if place else None, "place_updates": 20 if place else None}
                what = {
                    "attack": attack,
                    "kind": kind,
                    "setting": setting,
                    "share": share,
                    "lr": lr,
                    "dose": float(dose),
                }
                barrier = 0.5 + seed if kind == "interpolate" else None
                numbers = {"UA": attacked_ua(subject, stage, attack, setting, dose, seed), "RA": 1.0, "TA": 0.9}
                rows.append(
                    who | where | what | numbers
                    | {"dose_name": dose_name, "updates": dose if kind == "relearn" else 0, "diverged": False}
                    | {"barrier_forget": barrier, "barrier_retain": barrier}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=STRESS).astype({"updates": "Int64", "share": float, "lr": float})


TRIED = (20.0, 50.0, BUDGET)
"""Doses of the places that are tried for whether forgetting lasts."""


def lasting_rows(view, *, oracle, methods):
    """Return places at which UA is 0; a repair brings back 0.9, 0.5 and, before grokking alone, 0.05; each costs a tenth more."""
    rows = []
    for (arm, seed, stage), forget in itertools.product(view.plan.stages, view.recipe.forget_labels()):
        for method, (place, dose) in itertools.product(methods or view.methods, enumerate(TRIED)):
            back = (0.9, 0.5, 0.4 if stage == "grokked" else 0.05)[place]
            before = {"UA": 0.0, "RA": 0.8 - place / 10, "TA": 0.7 - place / 10, "bystander_accuracy": 0.7 - place / 10}
            after = {"UA_after": back, "RA_after": 1.0, "TA_after": 0.8, "bystander_accuracy_after": 0.8}
            lasts = back <= 0.1
            rows.append(
                {"seed": seed, "arm": arm, "stage": stage, "forget": forget, "method": method, "dose": dose, "updates": int(dose)}
                | before | after | {"lasts": lasts, "first": lasts, "monotone": True, "budget": BUDGET}
                | ({"oracle_UA": 0.2, "oracle_RA": 1.0, "oracle_TA": 0.8, "oracle_bystander_accuracy": 0.85} if oracle else {})
            )  # fmt: skip
    numbers = [
        name for name in LASTING if name not in ("arm", "stage", "forget", "method", "lasts", "first", "monotone")
    ]
    return pd.DataFrame(rows, columns=LASTING).astype(dict.fromkeys(numbers, float) | {"seed": int, "updates": "Int64"})


@pytest.fixture
def attacked_study(study):
    """Return a function that makes a study with tables of attacks and of places that last; see :func:`attacked_ua` and :func:`lasting_rows`."""

    def made(attacks=tuple(ATTACKS), *, oracle=True, floor=True, places=("0.1",), rated=None, **changes):
        blocks = {
            "stress": {"attacks": [{"kind": ATTACKS[name][0]} for name in attacks], "places": [0.1]},
            "lasting": {},
        }
        base = study(**blocks | changes)
        subjects = [
            "unlearned",
            "original",
            *(["oracle"] if oracle else []),
            *(["oracle_2"] if floor and oracle else []),
        ]
        stress = stress_rows(base, attacks, subjects=subjects, places=places)
        lasting = lasting_rows(base, oracle=oracle, methods=rated)
        tables = replace(base.results, stress=stress, lasting=lasting)
        judged = judge(tables.rows, base.recipe, base.doses, stress=stress, lasting=lasting)
        return View(base.plan, tables, judged, base.doses)

    return made


def any_overlap(boxes):
    """Return whether any two boxes overlap."""
    corners = np.array([box.extents for box in boxes]).reshape(-1, 2, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    reaches = (low[:, None] <= high[None]).all(axis=2)
    return bool(np.triu(reaches & reaches.T, 1).any())


@pytest.fixture
def legible(texts):
    """Return a function that makes sure that in no figure anything is cut off, covered or too small."""

    def check(name, figure):
        drawn = texts(figure)
        assert all(text.get_fontsize() >= 8 for text, _ in drawn), name
        ticks = {
            text
            for axes in figure.axes
            for axis in (axes.xaxis, axes.yaxis)
            for text in axis.get_ticklabels(which="both")
        }
        assert not any_overlap([box.padded(-1) for text, box in drawn if text not in ticks]), name
        parts = [*figure.axes, *figure.legends]
        boxes = [box.padded(-2) for box in (part.get_tightbbox() for part in parts) if box is not None]
        for box in boxes:
            assert min(box.x0, box.y0) >= -2, name
            assert box.x1 <= figure.bbox.x1 + 2, name
            assert box.y1 <= figure.bbox.y1 + 2, name
        assert not any_overlap(boxes), name

    return check


ARMS = {"slow": {"trajectory": {"batch_size": 32}}}
ANALYZE = [{"kind": "gradient_alignment"}, {"kind": "weight_norm"}]


def measure_rows(
    view, measure, value, *, null=None, on="forget|retain", layer="model", analysis="gradient_alignment", forget="class"
):
    """Return the rows of one measure at every stage; ``value`` and ``null`` are functions of (seed, arm, stage)."""
    rows = []
    for arm, seed, stage in view.plan.stages:
        place = {
            "seed": seed, "arm": arm, "stage": stage, "step": 100 if stage == "pre_grok" else 400, "forget": forget,
            "method": "", "dose": 0.0, "analysis": analysis, "measure": measure, "on": on, "layer": layer, "unit": "1",
        }  # fmt: skip
        rows.append(place | {"null": "", "value": value(seed, arm, stage)})
        if null:
            low, high = null(seed, arm, stage)
            rows.append(place | {"null": "permuted", "value": (low + high) / 2, "low": low, "high": high, "draws": 9})
    return rows


def is_late(stage):
    return 0.0 if stage == "pre_grok" else 1.0


def with_measures_of(view, *groups):
    table = pd.DataFrame([row for group in groups for row in group], columns=MECHANISM)
    numbers = dict.fromkeys(("value", "low", "high", "draws", "dose"), "float64")
    return replace(view, results=replace(view.results, mechanism=table.astype(numbers)))


@pytest.fixture
def measured_study(study):
    """A cosine that falls by 0.4 and leaves its null, a norm that does not change, a layered measure."""
    base = study(analyze=[*ANALYZE, {"kind": "curvature"}], arms=ARMS)
    cosine = measure_rows(
        base, "gradient_cosine", lambda seed, arm, stage: 0.9 + seed / 1000 - 0.4 * is_late(stage),
        null=lambda seed, arm, stage: (0.8, 0.95),
    )  # fmt: skip
    norm = measure_rows(base, "weight_norm", lambda *_: 3.0, on="", analysis="weight_norm")
    layered = [
        row
        for layer in ("conv1", "conv2", "fc")
        for row in measure_rows(base, "gradient_cosine", lambda seed, arm, stage: is_late(stage), layer=layer)
    ]
    spectrum = [
        row
        for name, share in (("above_1e-3", 0.5), ("above_1e-1", 0.25), ("above_1e1", 0.0), ("below_-1e-1", 0.125))
        for row in measure_rows(
            base, f"hessian_{name}", lambda *_, share=share: share, on="forget", analysis="curvature"
        )
    ]
    return with_measures_of(base, cosine, norm, layered, spectrum)


@pytest.fixture
def measures():
    """Return a function that gives the rows of one measure at every stage; see :func:`measure_rows`."""
    return measure_rows


@pytest.fixture
def with_measures():
    """Return a function that gives a study with rows of measures."""
    return with_measures_of


def strengths(seed, forget, dose):
    """Return extraction strengths: of the forgotten they fall with each update, twice as fast where they were grokked."""
    fall = 0.2 if forget == "grokked-4" else 0.1
    return {
        "ES_forget": 0.5 + seed / 10 - fall * dose, "ES_retain": 0.9, "oracle_ES_forget": 0.3 - fall, "oracle_ES_retain": 0.9,
        "extraction_forget": 0.5 + seed / 10 - fall * dose, "extraction_retain": 0.9, "oracle_extraction_forget": 0.3 - fall,
        "oracle_extraction_retain": 0.9,
    }  # fmt: skip


def answers_view(*overrides, compare=None, **tables):
    """Return a study on a language model of two seeds, both groups and one method of two updates."""
    pairs = compare or "[[{stage: final, forget: ungrokked-4}, {stage: final, forget: grokked-4}]]"
    methods = "unlearn=[{kind: gradient_difference, updates: 2}]"
    recipe = load(str(TINY_TEXT), [methods, f"claims.compare={pairs}", "analyze=[]", *overrides])
    rows, groups, ends = [], [], []
    for seed, forget in itertools.product((0, 1), ("grokked-4", "ungrokked-4")):
        place = {
            "seed": seed,
            "arm": "base",
            "stage": "final",
            "step": 20,
            "forget": forget,
            "method": "gradient_difference",
        }
        for dose in (0, 1, 2):
            accuracies = {"UA": 1 - dose / 2, "RA": 0.9, "TA": 0.8, "bystander_accuracy": None, "oracle_gap": None}
            flags = {"reached_0.01": dose == 2, "reached_oracle": None, "rewound": False, "diverged": False}
            rows.append(
                place | {"dose": float(dose), "updates": dose} | accuracies | flags | strengths(seed, forget, dose)
            )
        hard = {"question_length": 20.0 + seed + 10 * (forget == "ungrokked-4"), "answer_length": 9.0}
        sizes = {
            "found paper grokked": 3,
            "found paper ungrokked": 5,
            "found used grokked": 4,
            "found used ungrokked": 6,
        }
        groups.append(place | {"examples": 40, "base_loss": 2.0, "final_loss": 0.5} | hard | sizes)
        ends.append(place | {"ROUGE_forget": 0.2 + seed / 10, "utility": 0.7, "oracle_ROUGE_forget": 0.1})
    table = pd.DataFrame(rows)
    table[["reached_0.01", "reached_oracle"]] = table[["reached_0.01", "reached_oracle"]].astype("boolean")
    empty = dict.fromkeys(("transitions", "oracles", "curves", "timings"), pd.DataFrame())
    own = {"groups": pd.DataFrame(groups), "audits": pd.DataFrame(ends)} | tables
    doses = {"gradient_difference": Doses(2.0, 2.0)}
    return View(Plan(recipe), Results(table, **empty, **own), judge(table, recipe, doses), doses)


@pytest.fixture
def answers_study():
    """Return a function that makes a study on a language model; see :func:`answers_view`."""
    return answers_view


@pytest.fixture
def filed():
    """Return a function that makes a verdict as ``verdicts.json`` holds it."""

    def make(method="gradient_ascent", forget="class", metric="updates", **changes):
        row = {
            "claim": "efficiency",
            "reading": "same_rate",
            "comparison": "pre_grok → grokked",
            "setting": {"forget": forget, "method": method, "metric": metric, "at": "UA ≤ 0.1"},
            "headline": True,
            "effect": -1.7,
            "unit": "log ratio of updates",
            "ci_low": -1.9,
            "ci_high": -1.5,
            "n_seeds": 10,
            "p_value": 0.004,
            "verdict": "refuted",
            "notes": [],
        }
        return FiledVerdict.model_validate(row | changes)

    return make


@pytest.fixture
def evidence():
    """Return a function that makes the evidence of a study from its verdicts."""

    def make(recipe, *verdicts, **changes):
        known = {
            "recipe": recipe,
            "hash": "0123abcd",
            "commit": "66bf1ea7decfbcfbcbf4831d1a65b32b05bcb73e",
            "date": "2026-12-01",
            "device": "cpu",
            "hardware": "AMD EPYC, 2 workers",
            "seeds": [0, 1, 2],
            "names": {"gradient_ascent": "gradient ascent", "class": "one class"},
            "families": {"gradient_ascent": "ascent"},
            "scale": {"model": "MLP", "data": "8x8 digits", "examples": 400, "updates": 6000, "seeds": 3},
            "kinds": {"gradient_ascent": "gradient_ascent", "class": "class"},
            "measures": [],
            "ends": [],
            "transitions": {"base": {"grokked": 3}},
            "first": [],
            "answers": [],
            "verdicts": list(verdicts),
        }
        return Evidence(**known | changes)

    return make


@pytest.fixture
def measured():
    """Return a function that makes a measure as a file of evidence holds it."""

    def make(measure="gradient_cosine", **changes):
        row = {
            "comparison": "pre_grok → grokked", "forget": "class", "method": "", "measure": measure, "on": "forget|retain",
            "left": 0.9, "right": 0.5, "null": "permuted", "null_left": 0.95, "null_right": 0.9, "effect": 0.4, "ci_low": 0.3, "ci_high": 0.5,
            "n_seeds": 8, "p_value": 0.008, "verdict": "supported", "note": "",
        }  # fmt: skip
        return FiledMeasure.model_validate(row | changes)

    return make


def _shadows(stage: str, apart: float, seed: int) -> Shadows:
    """Return 16 shadow models, the first 8 of which held a forget set of 12 examples and unlearned it; their margins are then ``apart`` too large."""
    numbers, held, targets = np.random.default_rng(seed), np.zeros((16, 20), dtype=bool), np.zeros(20, dtype=np.int64)
    held[:8, :16], held[8:, 12:] = True, True
    margins = numbers.normal(size=(16, 20)) + 3 * held
    after = numbers.normal(size=(8, 20)) + apart
    logits, unlearned = (np.stack([m, np.zeros_like(m)], axis=-1).astype(np.float16) for m in (margins, after))
    own = Unlearned(np.arange(8), unlearned, unlearned[:, :4])
    made = {"class": np.arange(12)}, {"class": {"neggrad_plus": own}}
    return Shadows(stage, 16, np.arange(16), held, logits, logits[:, :4], targets, targets[:4], *made)


@pytest.fixture(scope="session")
def audited() -> tuple[Recipe, dict[str, Any]]:
    """Return a recipe with an audit, and what its ``audit.json`` holds: unlearned models that stand out before grokking and not after it."""
    recipe = load(
        str(Path(__file__).parents[1] / "study" / "tiny.yaml"),
        [
            "stages=[memorized, final]",
            "unlearn=[{kind: neggrad_plus}]",
            "claims.compare=[[memorized, final]]",
            "audit={shadows: 16, measures: [ulira], memorization: true, entanglement: true}",
        ],
    )
    every = [_shadows("memorized", -3.0, 0), _shadows("final", -1.0, 1)]
    content = audit_table(every, ["ulira"], memorization=True, entanglement=True)
    return recipe, content | {
        "privacy": privacy(
            recipe, every, [row | {"words": MAY_SPEAK} for row in content["planted"]], Look(0.025, 1, (), True)
        )
    }
