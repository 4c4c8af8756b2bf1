"""Notes beside a verdict: a code with its values, turned into text in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NOTES: dict[str, tuple[str, str]] = {
    "no_pairs": ("no seed has both stages", ""),
    "seeds_missing": ("{count} of {seeds} {unit} lack a stage", ": they are not in this row"),
    "few_seeds": ("under six {unit}", ": nothing can be decided with {seeds}"),
    "looked_otherwise": ("another headline was judged before", ": words belong to the family that was fixed first"),
    "fresh_weights": ("starts from fresh weights, so its first places tell nothing of the stage", ""),
    "self_stopping": ("stops by itself", ": judged at the end of its path, not at a target"),
    "nothing_to_forget": ("nothing to forget in {count} of {pairs} pairs", ""),
    "no_oracle": ("no oracle in {count} of {pairs} pairs", ""),
    "not_reached": ("target not reached", ": {before} → {after} of {pairs}"),
    "all_censored": ("everything censored", ""),
    "coarse": ("median of only {updates:g} updates", ""),
    "never_both": ("no pair in which both reached the target", ""),
    "not_lasting": ("never lasts", ": {before} → {after} of {pairs}"),
    "not_monotone": ("not monotone", ": in {count} of {paths} paths a later place fails where the first that lasts does not"),
    "both_reached": ("among {count} pairs in which both got there: × {ratio:.3g}", ""),
    "at_least": ("lost at least {before:.3f} → {after:.3f}", " (below 0: gained) with the paths that did not get there read at their end"),
    "own_rate": ("each side at its own rate", ""),
    "own_rates": ("median rates {before:g} → {after:g}", ""),
    "end_of_grid": ("best rate at the end of the grid in {count} of {paths} paths", ""),
    "rates_not_found": ("best rates not found", ": at the end of the grid in {count} of {paths} paths; `search.most` lets it grow"),
    "some_diverged": ("diverged", ": {before} → {after} of {pairs}"),
    "all_diverged": ("diverged", ""),
    "diverged_or_no_oracle": ("diverged, or no oracle", ""),
    "oracle_lacks": ("no {accuracy} of the oracle", ": there is no oracle, or an earlier version wrote these results without it"),
    "no_gap": ("no pair in which both gaps are known", ""),
    "no_floor": ("no second oracle in {count} of {pairs} pairs", ": their gaps are counted from zero on both sides"),
    "gap_started": ("gap starts at {before:.3f} → {after:.3f}", ": one that always ends at the oracle changes by just that"),
    "worst_gaps": ("R {before:.3f} → {after:.3f}", ""),
    "floors": ("floors {before:.3f} → {after:.3f}", " between two oracles, computed as R is"),
    "few_floors": ("floor of {seeds} {unit}", ": under six nothing can be said to lie above it"),
    "within_floor": ("neither side is hidden", ": no R lies above the floor of two oracles"),
    "oracle_at_once": ("the oracle knows half from the start: {before} → {after} of {pairs}", ", so that nothing is to be relearned; these pairs are left out"),
    "may_turn": ("{count} of {pairs} pairs undecided", ": more updates of relearning may turn them, so they count as no difference"),
    "not_relearned": ("not relearned", ": {before} → {after} of {pairs} within {updates:g} updates"),
    "oracle_not_relearned": ("oracle not relearned", ": {before} → {after} of {pairs} within {updates:g} updates"),
    "never_relearned": ("relearned by neither side", ""),
    "few_for_spread": ("spread needs at least 3 seeds, got {seeds}", ""),
    "zero_spread": ("a side has zero spread", ": its ratio to the other is undefined"),
    "not_all_reached": ("not every path reached the target", ": spread is compared where all did"),
    "unequal_forgetting": ("mean UA {before:.2f} → {after:.2f}", ": forgetting is too unequal for its costs to be compared"),
    "started": ("started from {before:.3f} → {after:.3f}", ""),
    "confounded": (
        "not at equal forgetting",
        ": the two sides start from different values, and after the same number of updates they have forgotten differently much",
    ),
    "defined": ("defined in {count} of {pairs} pairs", ""),
    "unstable": ("unstable", ": from {low:.3g} to {high:.3g}, negative in {negative} of {values}"),
    "no_difference": ("no difference", ": interval within ±{margin:g}"),
    "no_difference_in_most": (
        "no difference", ": interval within ±{margin:g}, and at most a share {share:.2f} of seeds differs by more"
    ),
    "within_but_censored": (
        "interval within ±{margin:g}", ", but some paths did not get there: no difference cannot be claimed"
    ),
    "within_but_rare": (
        "interval within ±{margin:g}", ", but a share of up to {share:.2f} of seeds may differ by more"
    ),
    "only_beyond_oracle": ("not so from the start", ": the sides differ in what retraining loses, not in what unlearning does"),
    "only_against_oracle": ("not so by itself", ": the sides differ in what attacks get from the oracle, not in what they get from the model"),
    "across_zero": ("interval across zero", ""),
}  # fmt: skip
"""By code: the text for a narrow cell, and what follows it where there is room. A plug-in adds its own."""


@dataclass(frozen=True)
class Note:
    """Something a reader of a verdict should know.

    Args:
        code: A key of :data:`NOTES`.
        values: What its text is filled with, by name.

    """

    code: str
    values: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def short(self) -> str:
        """The text for a narrow cell."""
        return NOTES[self.code][0].format(**self.values)

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(NOTES[self.code]).format(**self.values)
