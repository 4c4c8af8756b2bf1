"""Notes beside a verdict: a code with its values, turned into text in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NOTES: dict[str, tuple[str, str]] = {
    "no_pairs": ("no seed has both stages", ""),
    "fresh_weights": ("starts from fresh weights, so its first places tell nothing of the stage", ""),
    "nothing_to_forget": ("nothing to forget in {count} of {pairs} pairs", ""),
    "no_oracle": ("no oracle in {count} of {pairs} pairs", ""),
    "not_reached": ("target not reached", ": {before} → {after} of {pairs}"),
    "all_censored": ("everything censored", ""),
    "coarse": ("median of only {updates:g} updates", ""),
    "never_both": ("no pair in which both reached the target", ""),
    "no_gap": ("no pair in which both gaps are known", ""),
    "some_diverged": ("diverged", ": {before} → {after} of {pairs}"),
    "all_diverged": ("diverged", ""),
    "diverged_or_no_oracle": ("diverged, or no oracle", ""),
    "few_for_spread": ("spread needs at least 3 seeds, got {seeds}", ""),
    "zero_spread": ("a side has zero spread", ": its ratio to the other is undefined"),
    "mean_ua": ("mean UA {before:.2f} → {after:.2f} at this dose", ""),
    "started": ("started from {before:.3f} → {after:.3f}", ""),
    "defined": ("defined in {count} of {pairs} pairs", ""),
    "unstable": ("unstable", ": from {low:.3g} to {high:.3g}, negative in {negative} of {values}"),
    "no_difference": ("no difference", ": interval within ±{margin:g}"),
    "too_few_seeds": ("too few seeds", ": smallest possible p is 2/2^{seeds} = {smallest}"),
    "adjusted_p": ("Holm-adjusted p = {p:.3g}", ""),
    "across_zero": ("interval across zero", ""),
}
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
