"""What later requests do to what earlier ones achieved: reversal and erosion, beside the oracle and the noise between oracles.

Source of both words: "Robust Continual Unlearning against Knowledge Erosion and Forgetting Reversal" (arXiv 2604.19108). There,
erosion is that accuracy on retained data falls from phase to phase, reversal that forgotten examples are recognized again in
later phases. The oracle beside them is ours: what is retained differs between phases, so that its accuracies change as well.
"""

from __future__ import annotations

import pandas as pd

from ungrok.study.plan_sequences import ORACLE, SECOND_ORACLE
from ungrok.study.track import PATH, PLACE

SEQUENCE = [*PATH, "subject"]
"""Columns that name a sequence."""

ERODED = ("RA", "TA", "bystander_accuracy")
"""The accuracies whose fall is an erosion."""

EFFECTS = ("reversal", *(f"erosion_{name}" for name in ERODED))
"""Differences of accuracies; positive ones are what nobody wants."""


def effects(sequences: pd.DataFrame) -> pd.DataFrame:
    """Return reversal and erosion at every phase but the first.

    Args:
        sequences: The table of a study; see :attr:`ungrok.study.results.Results.sequences`.

    Returns:
        One row per sequence and phase, with :data:`EFFECTS`, NaN where a model is missing. ``reversal`` is how far UA on the earlier
        sets lies above what it was at the end of their own phases, the mean over these sets; ``erosion_<accuracy>`` how far an
        accuracy has fallen since the end of phase 1. With the suffix ``_beyond`` the oracle's own of the same phase is subtracted.

    """
    table = sequences.astype({"phase": int, "of": int})
    own = table[table["of"] == table["phase"]]
    first = own[own["phase"] == 1]
    earlier = table[table["of"] < table["phase"]].merge(
        own[[*SEQUENCE, "of", "UA"]], on=[*SEQUENCE, "of"], suffixes=("", "_own")
    )
    rise = (earlier["UA"] - earlier["UA_own"]).rename("reversal")
    reversal = pd.concat([earlier[[*SEQUENCE, "phase"]], rise], axis=1).groupby([*SEQUENCE, "phase"], as_index=False)
    later = own[own["phase"] > 1].merge(first[[*SEQUENCE, *ERODED]], on=SEQUENCE, suffixes=("", "_first"))
    for name in ERODED:
        later[f"erosion_{name}"] = later[f"{name}_first"] - later[name]
    both = later.merge(reversal["reversal"].mean(), on=[*SEQUENCE, "phase"])[[*SEQUENCE, "phase", *EFFECTS]]
    oracle = both[both["subject"] == ORACLE][[*PLACE, "phase", *EFFECTS]]
    beside = both.merge(oracle, on=[*PLACE, "phase"], how="left", suffixes=("", "_oracle"))
    for name in EFFECTS:
        beside[f"{name}_beyond"] = beside[name] - beside.pop(f"{name}_oracle")
    return beside


def floors(sequences: pd.DataFrame) -> pd.DataFrame:
    """Return how far the effects of two oracles lie apart, which is noise.

    Returns:
        One row per arm, stage, forget split and phase with a second oracle: for each of :data:`EFFECTS` the largest difference over
        seeds, without its sign.

    """
    every = effects(sequences)
    second = every[every["subject"] == SECOND_ORACLE]
    apart = second[[f"{name}_beyond" for name in EFFECTS]].abs().set_axis(EFFECTS, axis=1)
    where = ["arm", "stage", "forget", "phase"]
    return pd.concat([second[where], apart], axis=1).groupby(where, as_index=False).max()
