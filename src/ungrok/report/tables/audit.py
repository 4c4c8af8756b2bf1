"""Tables of audits that need many models: privacy, planted truths, every measure, and the shadow models themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ungrok.core.errors import spoken
from ungrok.report.format import MISSING, bracketed, fixed, number, p_value, whole
from ungrok.report.tables.table import Row, Table, reason
from ungrok.study.names import Names
from ungrok.study.privacy import ENOUGH

Audit = Mapping[str, Any]
"""What ``audit.json`` holds."""

MEASURES = {"ulira": "U-LiRA, AUC", "rmia": "RMIA, AUC", "klom": "KLoM, 95 % quantile", "neurips": "NeurIPS score F"}
"""Names of measures with the number that is judged."""

WHO = {"original": "nothing unlearned", "never": "never saw the forget set"}


def audit_tables(audit: Audit, names: Names) -> Iterator[Table]:
    """Yield the tables of an audit.

    Args:
        audit: What ``audit.json`` holds; empty for none.
        names: Of the recipe.

    """
    if not audit:
        return
    if "privacy" in audit:
        yield privacy_table(with_names(audit["privacy"], names))
    yield _planted(audit["planted"], names)
    if audit["rows"]:
        yield _measured(audit["rows"], names)
    yield _shadows(audit, names)
    if "memorization" in audit:
        yield _memorization(audit["memorization"], names)
    if "entanglement" in audit:
        yield _entanglement(audit["entanglement"], names)


def _range(values: Sequence[float | None] | None, decimals: int = 3) -> str:
    if values is None:
        return MISSING
    return bracketed(*(fixed(value, decimals) for value in values))


def with_names(told: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Return what is said of privacy, in ``audit.json``, with names for people in place of labels."""
    called = {"earlier_stage": names.stage, "later_stage": names.stage, "forget": names.forget, "method": names.method}
    rows = [row | {key: name(row[key]) for key, name in called.items()} for row in told["rows"]]
    return {**told, "rows": rows}


def privacy_table(told: Mapping[str, Any]) -> Table:
    """Return the table of privacy, from what :func:`with_names` returns."""
    rows: list[Row] = []
    for row in told["rows"]:
        key: Row = [row["earlier_stage"], row["later_stage"], row["forget"], row["method"], whole(row["shadows"])]
        key.append(" → ".join(f"{100 * share:.0f} %" for share in row["down"]))
        if "effect" not in row:
            rows.append([*key, *reason("too few shadow models", 5), row["word"]])
            continue
        numbers = [fixed(row[side]) for side in ("earlier", "later")]
        rows.append(
            [*key, *numbers, fixed(row["effect"]), _range(row["interval"]), p_value(row["p_value"]), row["word"]]
        )
    how = (
        "U-LiRA's AUC says how well unlearned models are told from models that never saw the forget set; 0.5 is not at all. Nearer: how much nearer to 0.5 "
        "the later one is; above 0 agrees that later models forget more privately. All rows are tested together, by swapping the stages of pairs of shadow "
        f"models with the AUC computed anew each time and by a jackknife over pairs, and must pass both; intervals hold together, at a level of {100 * (1 - told['alpha']):.1f} %. A row gets a word only where U-LiRA "
        f"may speak at both stages, and at least {100 * ENOUGH:.0f} % of the models came down to the UA of models that never saw the set (down)."
    )
    if told["looked"]:
        how += f" These rows were judged before with {spoken([str(count) for count in told['looked']])} shadow models, which has spent a part of α."
    columns = [
        "earlier",
        "later",
        "forget set",
        "method",
        "shadows",
        "down",
        "AUC, earlier",
        "AUC, later",
        "nearer",
        "interval",
        "p",
        "word",
    ]
    return Table("Privacy: U-LiRA at both stages", how, columns, rows, keys=4)


def _planted(planted: Sequence[Mapping[str, Any]], names: Names) -> Table:
    rows: list[Row] = []
    for row in planted:
        key: Row = [
            MEASURES[row["measure"]],
            names.stage(row["stage"]),
            names.forget(row["forget"]),
            whole(row["models"]),
        ]
        if not row["truths"]:
            rows.append([*key, *reason(row["reason"], 4), row["words"]])
            continue
        truths = {truth["name"]: truth for truth in row["truths"]}
        cells = [
            f"{fixed(truths[name]['excess'])} {_range(truths[name]['interval'])}"
            for name in ("retrain", "half", "identity")
        ]
        rows.append([*key, *cells, fixed(truths["retrain"]["null"]), row["words"]])
    how = (
        "Distance from no difference where the truth is known, with its 95 % interval: retrained models must reach down to the null, models of which nothing "
        "was unlearned must lie above it, and those of which half was unlearned between. A measure that fails cannot tell at this number of models. "
        "Null: the 95 % quantile of that distance where nothing is there."
    )
    columns = [
        "measure",
        "stage",
        "forget set",
        "models",
        "retrained",
        "half unlearned",
        "nothing unlearned",
        "null",
        "word",
    ]
    return Table("Measures on planted truths", how, columns, rows, keys=3)


def _measured(measured: Sequence[Mapping[str, Any]], names: Names) -> Table:
    rows: list[Row] = []
    for row in measured:
        key: Row = [
            MEASURES[row["measure"]],
            names.stage(row["stage"]),
            names.forget(row["forget"]),
            names.method(row["method"]),
        ]
        key.append(" and ".join(dict.fromkeys(whole(count) for count in row["models"])))
        if row["reason"]:
            rows.append([*key, *reason(row["reason"], 6), row["words"]])
            continue
        null, needed = row["null"], row["needed"]
        enough = MISSING if not needed or needed["models"] is None else whole(needed["models"])
        rows.append(
            [
                *key,
                fixed(row["value"]),
                *(_range(row[which]) for which in ("interval", "over_models", "over_examples")),
                f"{fixed(null['mean'])} {_range(null['interval'])}",
                f"{enough}{', extrapolated' if needed and needed['extrapolated'] and enough != MISSING else ''}",
                row["words"],
            ]
        )
    how = (
        "Models: those that unlearned the set, and those that never saw it. The interval is over models and examples; beside it over each alone. Null: mean and "
        "95 % range of the same number where nothing is there. Models needed: so many on each side that the null's 95 % quantile falls below a tenth of what is "
        "measured where nothing was unlearned."
    )
    columns = [
        "measure",
        "stage",
        "forget set",
        "method",
        "models",
        "value",
        "interval",
        "over models",
        "over examples",
    ]
    columns += ["null", "models needed", "word"]
    return Table("Measures of unlearned models", how, columns, rows, keys=4)


def _shadows(audit: Audit, names: Names) -> Table:
    reached = {row["stage"]: row for row in audit["stages"]}
    rows: list[Row] = []
    for row in audit["accuracies"]:
        stage = reached[row["stage"]]
        who = WHO.get(row["who"]) or names.method(row["who"])
        share = f"{stage['reached']} of {stage['trained']}"
        numbers = [fixed(row[name]) for name in ("forget_set", "retain", "test")]
        down = MISSING if row.get("down") is None else f"{row['down']} of {row['models']}"
        key: Row = [names.stage(row["stage"]), share, names.forget(row["forget"]), who, whole(row["models"])]
        rows.append([*key, *numbers, down])
    how = (
        "Shadow models are trained like those of the study, each on a random half of the pool, in which each forget set is whole or not at all. Reached: how many "
        "of them came to the stage; the others are in no row. Accuracies are means over models: on the forget set, on what else they were trained on, on test examples. "
        "Down: how many have a UA at or below the mean of those that never saw the set, which is where unlearning stops; the others stand at the end of their path."
    )
    columns = ["stage", "reached", "forget set", "models that", "models", "UA", "RA", "TA", "down"]
    return Table("Shadow models", how, columns, rows, keys=4)


def _memorization(told: Sequence[Mapping[str, Any]], names: Names) -> Table:
    rows: list[Row] = []
    for row in told:
        key: Row = [names.stage(row["stage"]), whole(row["models"]), whole(row["examples"])]
        if row["reason"]:
            rows.append([*key, *reason(row["reason"], 6)])
            continue
        thirds = [fixed(third["mean"]) for third in row["thirds"].values()]
        rows.append([*key, fixed(row["mean"]), _range(row["interval"]), fixed(row["null"]), *thirds])
    how = (
        "How much more often models are right about an example that they held than models that did not (Feldman, arXiv 1906.05271), the mean over the pool, and over "
        "the third of its examples with the lowest, middle and highest values. Null: the 95 % quantile of the mean's distance from 0 where models exchange what they held."
    )
    columns = ["stage", "models", "examples", "mean", "interval", "null", "low third", "middle third", "high third"]
    return Table("Memorization", how, columns, rows)


def _entanglement(told: Sequence[Mapping[str, Any]], names: Names) -> Table:
    rows: list[Row] = []
    for row in told:
        key: Row = [names.stage(row["stage"]), names.forget(row["forget"]), whole(row["models"])]
        if row["reason"]:
            rows.append([*key, *reason(row["reason"], 3)])
            continue
        null = bracketed(*(number(end) for end in row["null"]))
        rows.append([*key, number(row["value"]), bracketed(*(number(end) for end in row["interval"])), null])
    how = (
        "Variance within the logits of forgotten and of retained examples over the squared distance of their means: small where the forget set lies apart. Null: the "
        "same for random sets of that size."
    )
    return Table("Entanglement", how, ["stage", "forget set", "models", "value", "interval", "null"], rows, keys=2)
