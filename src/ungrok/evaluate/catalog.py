"""Every metric by the name under which tables and audits show it, with one line on what it is."""

from __future__ import annotations

import inspect
import re
from typing import Any

from ungrok.core.registry import summary
from ungrok.evaluate.accuracy import Accuracies, class_accuracies
from ungrok.evaluate.answers import ANSWERS, MEMORIZATION
from ungrok.evaluate.cost import Metered
from ungrok.evaluate.distances import (
    activation_distance,
    disagreement,
    js_divergence,
    relative_forgetting,
    tug_of_war,
    tug_of_war_membership,
    weight_distance,
    zrf,
)
from ungrok.evaluate.gap import oracle_gap, ues
from ungrok.evaluate.membership import ATTACKS, loss_auc
from ungrok.evaluate.rewind import rewind
from ungrok.evaluate.targets import target_column

FUNCTIONS: dict[str, Any] = {
    "class_accuracies": class_accuracies,
    "oracle_gap": oracle_gap,
    "tug_of_war": tug_of_war,
    "tug_of_war_membership": tug_of_war_membership,
    "relative_forgetting": relative_forgetting,
    "disagreement": disagreement,
    "js_divergence": js_divergence,
    "activation_distance": activation_distance,
    "weight_distance": weight_distance,
    "zrf": zrf,
    "reached_<target>": target_column,
    "rewound": rewind,
    "forget_passes, retain_passes": Metered.passes,
    "ues": ues,
    "membership_auc": loss_auc,
}


def metrics() -> dict[str, str]:
    """Return every metric's name and the first line of its documentation."""
    losses = "Mean loss, in the objective's own unit."
    described = dict.fromkeys(Accuracies.__dataclass_fields__, losses)
    for line in (inspect.getdoc(Accuracies) or "").splitlines():
        name, colon, text = line.strip().partition(": ")
        if colon and name in described and not name.endswith("_loss"):
            described[name] = text
    attacks = {f"membership {name}": text for name, text in ATTACKS.items()}
    described |= {name: _plain(summary(function)) for name, function in FUNCTIONS.items()}
    return described | attacks | MEMORIZATION | ANSWERS


def _plain(text: str) -> str:
    """Return a docstring's line as a terminal shows it: what is returned, without markup."""
    text = re.sub(r":\w+:|`", "", text.removeprefix("Return ").removeprefix("the "))
    return text[0].upper() + text[1:]
