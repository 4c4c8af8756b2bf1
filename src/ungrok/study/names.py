"""Names for people: of forget splits, methods, stages, comparisons and metrics; a name that a recipe gives is kept as it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ungrok.data.forget import ForgetRule
from ungrok.study.place import Comparison
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE, Side
from ungrok.train.stages import step_of

if TYPE_CHECKING:
    from ungrok.study.claims.verdicts import Verdict

STAGES = {
    "pre_grok": "before grokking",
    "memorized": "at memorization",
    "grokked": "after grokking",
    "final": "at the end",
}
"""Words for the stages that every training has; a control keeps its name, and ``step-200`` is ``step 200``."""

BESIDE = {"memorized": "memorization", "final": "the end"}
"""What is said of them instead behind ``compared with``."""

METHODS = {
    "alt_po": "AltPO",
    "bad_teacher": "bad teacher",
    "catastrophic_forgetting_k": "CF-k",
    "ce_u": "CE-U",
    "ct": "CT",
    "delete": "DELETE",
    "exact_unlearning_k": "EU-k",
    "finetune": "fine-tuning",
    "fisher": "Fisher noise",
    "idk_dpo": "IdkDPO",
    "influence": "influence",
    "jit": "JiT",
    "kl_minimization": "KL minimization",
    "l1_sparse": "L1-sparse",
    "msg": "MSG",
    "munba": "MUNBA",
    "nabla_tau": "nabla-tau",
    "neggrad_plus": "NegGrad+",
    "noisy_finetune": "noisy fine-tuning",
    "npo": "NPO",
    "pdu": "PDU",
    "random_label": "random labels",
    "rewind_to_delete": "rewind-to-delete",
    "rmu": "RMU",
    "salun": "SalUn",
    "sat_imp": "SatImp",
    "scrub": "SCRUB",
    "simnpo": "SimNPO",
    "sisa": "SISA",
    "ssd": "SSD",
    "undial": "UNDIAL",
    "unsir": "UNSIR",
    "wga": "WGA",
}
"""By the kind of a method or a scheme: its name in the literature; of any other kind underscores become spaces."""

ATTACKS = {
    "relearn": "relearning",
    "quantize": "quantization",
    "interpolate_original": "interpolation to the original",
    "interpolate_oracle": "interpolation to the oracle",
    "linear_probe": "linear probe",
    "prune": "pruning",
    "weight_noise": "weight noise",
    "extract": "extraction by prefix",
}
"""By the label that an attack after unlearning has unless a recipe names it: the words for it."""

METRICS = {
    "UA": "UA",
    "RA": "RA",
    "TA": "TA",
    "UES": "UES",
    "bystander_accuracy": "bystander accuracy",
    "validation_accuracy": "validation accuracy",
    "ES_forget": "extraction of forgotten pairs",
    "ES_retain": "extraction of retained pairs",
    "extraction_forget": "extraction of forgotten pairs",
    "extraction_retain": "extraction of retained pairs",
    "moved_forget": "distance moved, forgotten data",
    "moved_retain": "distance moved, retained data",
    "oracle_gap": "oracle gap",
    "relearn_updates": "updates to relearn half",
    "weight_distance": "weight distance",
    "worst_gap": "worst gap to the oracle",
}
"""By column of the results: the words for it; of any other column underscores become spaces."""

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

RATED = re.compile(r"^(?P<method>.+) lr=(?P<rate>\S+)$")


def spelled(count: int) -> str:
    """Return a count of at most ten as a word."""
    return COUNTS[count] if count < len(COUNTS) else f"{count:,}"


def share(fraction: float) -> str:
    """Return a share as the start of a name, for instance ``half`` or ``15 %``."""
    return "half" if fraction == 0.5 else f"{100 * fraction:.3g} %"


def _class(rule: Any) -> str:
    return "one class" if rule.label_to_forget is None else f"class {rule.label_to_forget}"


def _classes(rule: Any) -> str:
    which = f"{spelled(rule.classes)} class{'es' if rule.classes > 1 else ''}"
    return which if rule.fraction == 1 else f"{share(rule.fraction)} of {which}"


def _random(rule: Any) -> str:
    if rule.fraction is not None:
        return f"a random {share(rule.fraction)}"
    return f"{rule.size:,} random example{'' if rule.size == 1 else 's'}"


def _group(rule: Any) -> str:
    return f"{rule.size:,} {rule.group} pair{'' if rule.size == 1 else 's'}{', matched' if rule.matched else ''}"


def _exposed(rule: Any) -> str:
    return f"{rule.size:,} shown {rule.group}"


RULES: dict[str, Callable[[Any], str]] = {
    "class": _class,
    "classes": _classes,
    "random": _random,
    "mislabeled": lambda _: "mislabeled examples",
    "local_grokking": _group,
    "exposed": _exposed,
    "last": lambda rule: f"the last {share(rule.fraction)}",
}
"""By the kind of a forget rule: its name made from its settings; any other kind keeps its label."""


def rule_name(rule: ForgetRule) -> str:
    """Return the name of a forget split, for instance ``half of two classes``."""
    return rule.label if rule.name or rule.kind not in RULES else RULES[rule.kind](rule)


def method_name(label: str, kind: str) -> str:
    """Return the name of a method, given its label and kind; one rate of several stands after it."""
    rated = RATED.match(label)
    if rated:
        return f"{method_name(rated['method'], kind)}, rate {rated['rate']}"
    return METHODS.get(kind, kind.replace("_", " ")) if label == kind else label


def attack_name(label: str, kind: str) -> str:
    """Return the name of an attack after unlearning, given its label and kind; a name that a recipe gives is kept."""
    return ATTACKS.get(label, label.replace("_", " ")) if label.startswith(kind) else label


def metric_name(metric: str) -> str:
    """Return the words for a metric, for instance ``bystander accuracy``."""
    return METRICS.get(metric, metric.replace("_", " "))


def distinct(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a name per label; labels whose names are alike keep their labels."""
    pairs = list(names)
    seen = Counter(name for _, name in pairs)
    return {label: name if seen[name] == 1 else label for label, name in pairs}


@dataclass(frozen=True)
class Names:
    """The names of what a recipe holds.

    Args:
        recipe: The recipe.

    """

    recipe: Recipe

    @cached_property
    def _forget(self) -> dict[str, str]:
        return distinct((rule.label, rule_name(rule)) for rule in self.recipe.forget)

    @cached_property
    def _methods(self) -> dict[str, str]:
        kinds = [(one.label, one.kind) for one in self.recipe.unlearn] + [
            (one.label, one.kind) for one in self.recipe.schemes
        ]
        return distinct((label, method_name(label, kind)) for label, kind in kinds)

    def forget(self, label: str) -> str:
        """Return the name of a forget split."""
        return self._forget.get(label, label)

    def forgets(self, labels: Sequence[str]) -> list[str]:
        """Return the names of forget splits."""
        return [self.forget(label) for label in labels]

    def method(self, label: str) -> str:
        """Return the name of a method; labels of a rate search are named after their method, and kinds that a recipe lacks by their kind."""
        if label in self._methods:
            return self._methods[label]
        rated = RATED.match(label)
        return f"{self.method(rated['method'])}, rate {rated['rate']}" if rated else method_name(label, label)

    def called(self, verdicts: Iterable[Verdict]) -> list[Verdict]:
        """Return verdicts whose methods are called by their names."""
        return [replace(verdict, method=self.method(verdict.method)) for verdict in verdicts]

    def stage(self, stage: str | int) -> str:
        """Return the name of a stage."""
        text = str(stage)
        if text in self.recipe.controls:
            return text
        step = stage if isinstance(stage, int) else step_of(text)
        return STAGES.get(text, text) if step is None else f"step {step:,}"

    def series(self, arm: str, stage: str | int) -> str:
        """Return the name of an arm's stage; the base arm goes without saying."""
        return self.stage(stage) if arm == BASE else f"{arm}, {self.stage(stage)}"

    def side(self, side: Side) -> str:
        """Return the name of one side of a comparison."""
        return ", ".join([self.series(side.arm, side.stage), *self._forgotten(side)])

    def _forgotten(self, side: Side) -> list[str]:
        return [self.forget(side.forget)] if side.forget else []

    def placed(self, side: Side, preposition: str = "from") -> str:
        """Return how a sentence on one side opens, for instance ``after grokking`` or ``from step 200``."""
        return self.side(side) if _says_where(side) else f"{preposition} {self.side(side)}"

    def compared(self, left: Side, right: Side) -> str:
        """Return how a sentence on the later of two sides opens, for instance ``from sam, at the end, compared with the end``."""
        plain = left.arm == right.arm and not (left.forget or right.forget)
        if plain and str(right.stage) == "grokked" and str(left.stage) in ("pre_grok", "memorized"):
            return STAGES["grokked"]
        if left.forget and right.forget and (left.arm, str(left.stage)) == (right.arm, str(right.stage)):
            there = self.placed(Side(arm=right.arm, stage=right.stage))
            return f"{there}, for {self.forget(right.forget)} compared with {self.forget(left.forget)}"
        stage = BESIDE.get(str(left.stage)) if left.arm == BASE else None
        earlier = ", ".join([stage, *self._forgotten(left)]) if stage else self.side(left)
        return f"{self.placed(right)}, compared with {earlier}"

    def comparison(self, comparison: Comparison) -> str:
        """Return the name of both sides, for instance ``before grokking → after grokking``."""
        left, right = comparison.sides
        if left.forget and right.forget and (left.arm, left.stage) == (right.arm, right.stage):
            return f"{self.forget(left.forget)} → {self.forget(right.forget)}, {self.series(left.arm, left.stage)}"
        return f"{self.side(left)} → {self.side(right)}"

    def splits(self, comparison: Comparison) -> str:
        """Return the name of what is forgotten: one name where both sides forget the same."""
        return " → ".join(dict.fromkeys(self.forgets(comparison.forgets)))


def _says_where(side: Side) -> bool:
    """Return whether the name of a side opens with a preposition: that of a stage which every training has, without an arm before it."""
    return side.arm == BASE and str(side.stage) in STAGES
