"""Every metric by the name under which tables and audits show it, with one line on what it is."""

from __future__ import annotations

import ast
import re

from ungrok.core.source import constant, definition, docstring

HOME = "ungrok.evaluate"

FUNCTIONS = {
    "class_accuracies": ("accuracy", "class_accuracies"),
    "oracle_gap": ("gap", "oracle_gap"),
    "tug_of_war": ("distances", "tug_of_war"),
    "tug_of_war_membership": ("distances", "tug_of_war_membership"),
    "relative_forgetting": ("distances", "relative_forgetting"),
    "disagreement": ("distances", "disagreement"),
    "js_divergence": ("distances", "js_divergence"),
    "activation_distance": ("distances", "activation_distance"),
    "weight_distance": ("distances", "weight_distance"),
    "zrf": ("distances", "zrf"),
    "reached_<target>": ("targets", "target_column"),
    "rewound": ("rewind", "rewind"),
    "forget_passes, retain_passes": ("cost", "Metered.passes"),
    "weight_distance_relative": ("displacement", "Displacement"),
    "moved_forget, moved_retain": ("displacement", "Displacement.of"),
    "ues": ("gap", "ues"),
    "membership_auc": ("membership", "loss_auc"),
}
"""Metrics that a function computes: its module and name. Read from the source, since those modules import torch."""


def metrics() -> dict[str, str]:
    """Return every metric's name and the first line of its documentation."""
    fields = definition(f"{HOME}.accuracy", "Accuracies").body
    names = [
        field.target.id for field in fields if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
    described = dict.fromkeys(names, "Mean loss, in the objective's own unit.")
    for line in docstring(f"{HOME}.accuracy", "Accuracies").splitlines():
        name, colon, text = line.strip().partition(": ")
        if colon and name in described and not name.endswith("_loss"):
            described[name] = text
    for name, (module, function) in FUNCTIONS.items():
        described[name] = _plain(docstring(f"{HOME}.{module}", function).partition("\n")[0])
    described |= {f"membership {name}": text for name, text in constant(f"{HOME}.membership", "ATTACKS").items()}
    for table in ("MEMORIZATION", "ANSWERS"):
        described |= constant(f"{HOME}.answers", table)
    return described


def _plain(text: str) -> str:
    """Return a docstring's line as a terminal shows it: what is returned, without markup."""
    text = re.sub(r":\w+:|`", "", text.removeprefix("Return ").removeprefix("the "))
    return text[0].upper() + text[1:]
