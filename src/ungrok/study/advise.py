"""When should training stop, if K deletion requests will come? What every policy costs in all, and which of them to choose.

A policy is a stage S at which training stops, and a method M that fulfills every request from there on; retraining is one of the methods.
All costs are of one seed, in passes (examples read over examples in the training set) or in seconds.

- Training: ``T = updates to S × cost of one update``. Shown in full, and beyond the cheapest stage that is accurate enough.
- Request k: ``q_k = c_k + (1 − f_k) T``. Here ``c_k`` is what the method spent on it as measured. ``f_k`` is 1 where it was fulfilled: UA is at most the
  oracle's plus a tolerance, on this set and on those before it and, where the study tried that, lasts through a repair. What is not fulfilled is
  fulfilled by training anew to S, and priced so. For retraining ``c_k = T`` and ``f_k = 1``; for rewind-to-delete ``c_k`` is that of its k updates.
- Total: ``C(K) = T + q_1 + … + q_K`` for K up to the P requests that were measured in sequence. Beyond, it is extrapolated:
  ``C(K) = C(P) + (K − P) × mean(q_2, …, q_P)``, and ``C(K) = T + K q_1`` where a single request was measured. Costs are those of sets as large as
  the measured ones.
- Together: where g requests are gathered before they are fulfilled, policies whose cost does not depend on how much is forgotten (retraining,
  rewind-to-delete, methods that start from fresh weights) run ``⌈K / g⌉`` times instead of K times.

A policy is admissible where its cost is known, enough requests were fulfilled, the damage (the largest loss of RA, and of bystander accuracy or else TA,
beyond the oracle) is within its limit, and models at its stage are accurate enough: by default, at most as much less than those of the most accurate stage as
may be lost by damage. The others are priced and marked. The choice is the admissible policy with the least mean of C(K) over seeds, of equal ones that with less
training.

It *does not matter* which of two policies is chosen where the whole interval of the difference (sign flips, paired over the seeds that both have) lies
within a declared margin, a share of the cost of the choice. It *matters* where the other costs more than the margin in the mean, and the interval lies above
zero. Where it lies above zero otherwise, the choice is *cheaper*, and it is open by how much. Elsewhere it is *open* which of both is cheaper.

Over several settings: :mod:`ungrok.study.advise_across`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ungrok.core.errors import RecipeError, shown
from ungrok.study.deletion_costs import UNITS, Floats, Measured, Policy, Setting, Unit
from ungrok.study.statistics import Estimate, sign_flip

Word = Literal["matters", "does not matter", "cheaper", "open"]
Basis = Literal["retraining", "in sequence", "extrapolated", "single request"]

MOST = 1000
"""Number of requests up to which changes of the choice are looked for."""


@dataclass(frozen=True)
class Terms:
    """What is asked, and what counts as good enough.

    Args:
        requests: Number of requests, K.
        size: Share of the training set in each; that of the measured forget split where None. Costs are those of the measured split.
        by: The unit in which policies are compared.
        together: Requests that are gathered before they are fulfilled, g.
        damage: Largest admissible loss of accuracy beyond the oracle.
        fulfilled: Least admissible share of fulfilled requests.
        accuracy: Least validation accuracy of models before any request; where None, that of the most accurate stage less ``damage``.
        margin: Share of the cheaper cost within which it does not matter which of two policies is chosen.
        alpha: One minus the level of intervals.

    Raises:
        RecipeError: If a value is not allowed.

    """

    requests: int
    size: float | None = None
    by: Unit = "passes"
    together: int = 1
    damage: float = 0.02
    fulfilled: float = 0.9
    accuracy: float | None = None
    margin: float = 0.1
    alpha: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what no policy can meet."""
        if self.by not in UNITS:
            raise RecipeError(f"by: {shown(self.by)} is not one of {', '.join(UNITS)}")
        if self.size is not None and not 0 < self.size < 1:
            raise RecipeError(f"size: {shown(self.size)} is no share of a training set; allowed: above 0 and below 1")
        for name, least in (
            ("requests", 1),
            ("together", 1),
            ("damage", 0),
            ("margin", 0),
            ("fulfilled", 0),
            ("accuracy", 0),
        ):
            value: float | None = getattr(self, name)
            most = 1 if name in ("fulfilled", "accuracy") else math.inf
            if value is not None and not least <= value <= most:
                allowed = f"from {least} on" if most == math.inf else f"from {least} to {most}"
                raise RecipeError(f"{name}: {shown(value)} is out of range; allowed: {allowed}")


@dataclass(frozen=True)
class Priced:
    """A policy with its price.

    Args:
        policy: The policy.
        measured: What it cost and did where it was measured.
        totals: C(K) by unit, each of shape (seeds,).
        extra: Mean training beyond the cheapest stage that is accurate enough, by unit.
        basis: What the price of K requests rests on.
        failures: Why it is not admissible, in the words of the terms; empty where it is.

    """

    policy: Policy
    measured: Measured
    totals: Mapping[Unit, Floats]
    extra: Mapping[Unit, float]
    basis: Basis
    failures: tuple[str, ...]

    def total(self, unit: Unit) -> float:
        """Return the mean of C(K) over seeds."""
        return float(self.totals[unit].mean())

    def training(self, unit: Unit) -> float:
        """Return the mean cost of the training over seeds."""
        return float(self.measured.training[unit].mean())

    @property
    def stage(self) -> tuple[str, str]:
        """Where training stops: arm and stage."""
        return self.policy.arm, self.policy.stage


@dataclass(frozen=True)
class Rivalry:
    """The choice beside another policy.

    Args:
        rival: The other policy.
        difference: Its cost minus that of the choice, paired over the seeds that both have; None where they have none.
        share: The mean difference over the mean cost of the choice on these seeds.
        word: Whether it matters which of both is chosen.

    """

    rival: Priced
    difference: Estimate | None
    share: float
    word: Word


@dataclass(frozen=True)
class Advice:
    """What to do in one setting.

    Args:
        setting: The setting.
        terms: What is asked.
        priced: Every policy, the cheapest first; those whose cost is not known stand last.
        floor: Least validation accuracy of an admissible stage.
        chosen: The cheapest admissible one.
        other_stage: The choice beside the cheapest admissible policy from another stage; None where there is none.
        other_method: The choice beside the cheapest other admissible policy from its own stage; None where there is none.
        less_accurate: What would be chosen if any accuracy were good enough; None where that is the choice.
        changes: Numbers of requests from which on the choice of a stage is another one, with the policy chosen there; the first is 1.

    """

    setting: Setting
    terms: Terms
    priced: Sequence[Priced]
    floor: float
    chosen: Priced
    other_stage: Rivalry | None
    other_method: Rivalry | None
    less_accurate: Priced | None
    changes: Sequence[tuple[int, Policy]]


def total(measured: Measured, unit: Unit, terms: Terms) -> Floats:
    """Return C(K), of shape (seeds,)."""
    training, spent = measured.training[unit], measured.requests[unit]
    runs = math.ceil(terms.requests / terms.together) if measured.sizeless else terms.requests
    each = spent + np.where(measured.fulfilled, 0.0, training[:, None])
    later = each[:, 1:].mean(axis=1) if each.shape[1] > 1 else each[:, 0]
    beyond = max(0, runs - each.shape[1])
    return np.asarray(training + each[:, :runs].sum(axis=1) + beyond * later)


def price(setting: Setting, terms: Terms) -> list[Priced]:
    """Return every policy of a setting with its price, the cheapest first."""
    floor = least_accuracy(setting, terms)
    accurate = [one for one in setting.policies.values() if one.accuracy >= floor]
    least = {unit: _least(float(one.training[unit].mean()) for one in accurate) for unit in UNITS}
    every = []
    for policy, measured in setting.policies.items():
        totals = {unit: total(measured, unit, terms) for unit in UNITS}
        extra = {unit: float(measured.training[unit].mean()) - least[unit] for unit in UNITS}
        failures = _failures(measured, totals[terms.by], terms, floor)
        every.append(Priced(policy, measured, totals, extra, _basis(policy, measured, terms), failures))
    return sorted(every, key=lambda one: (*_rank(one.total(terms.by)), *_rank(one.training(terms.by)), one.policy))


def _rank(cost: float) -> tuple[bool, float]:
    """Return by what a cost is ordered: one that is not known comes after all others."""
    return (False, cost) if math.isfinite(cost) else (True, 0.0)


def _least(costs: Iterable[float]) -> float:
    """Return the least cost that is known; NaN where none is."""
    return min(filter(math.isfinite, costs), default=math.nan)


def least_accuracy(setting: Setting, terms: Terms) -> float:
    """Return the least validation accuracy of an admissible stage; NaN where that of no stage is known."""
    return _most_accurate(setting) - terms.damage if terms.accuracy is None else terms.accuracy


def _most_accurate(setting: Setting) -> float:
    known = [one.accuracy for one in setting.policies.values() if math.isfinite(one.accuracy)]
    return max(known, default=math.nan)


def _basis(policy: Policy, measured: Measured, terms: Terms) -> Basis:
    known = measured.fulfilled.shape[1]
    if policy.retrains:
        return "retraining"
    if known == 1 and terms.requests > 1:
        return "single request"
    return "in sequence" if known >= terms.requests else "extrapolated"


def _failures(measured: Measured, totals: Floats, terms: Terms, floor: float) -> tuple[str, ...]:
    failures = [] if np.isfinite(totals).all() else ["cost"]
    if measured.fulfilled.mean() < terms.fulfilled:
        failures.append("fulfilled")
    if not measured.worst_damage <= terms.damage:
        failures.append("damage")
    if not measured.accuracy >= floor - 1e-12:
        failures.append("accuracy")
    return tuple(failures)


def advise(setting: Setting, terms: Terms) -> Advice:
    """Return what to do in a setting.

    Raises:
        RecipeError: If more examples are to be deleted than there are, or no stage is accurate enough.

    """
    if terms.requests > most_requests(setting, terms):
        raise RecipeError(
            f"requests: {terms.requests} requests for {terms.size or setting.share:.1%} of the training set each leave nothing of it "
            f"({setting.run}, {setting.forget}); allowed: at most {most_requests(setting, terms)}"
        )
    priced = price(setting, terms)
    good = admissible(priced)
    if not good:
        raise RecipeError(_nothing(setting, priced, terms))
    chosen = good[0]
    elsewhere = [one for one in good if one.stage != chosen.stage]
    careless = next(one for one in priced if set(one.failures) <= {"accuracy"})
    beside = [one for one in good[1:] if one.stage == chosen.stage]
    return Advice(
        setting,
        terms,
        priced,
        least_accuracy(setting, terms),
        chosen,
        _rivalry(chosen, elsewhere[0], terms) if elsewhere else None,
        _rivalry(chosen, beside[0], terms) if beside else None,
        None if careless is chosen else careless,
        _changes(setting, good, terms),
    )


def _nothing(setting: Setting, priced: Sequence[Priced], terms: Terms) -> str:
    """Return why no policy is admissible; retraining fails for two reasons only."""
    if all("cost" in one.failures for one in priced):
        return f"by: what {setting.run} took in {terms.by} is not known; allowed: {', '.join(unit for unit in UNITS if unit != terms.by)}"
    most = _most_accurate(setting)
    if math.isnan(most):
        return f"accuracy: that of the models of {setting.run} on validation data is not known, so no stage of it can be chosen"
    return f"accuracy: no stage of {setting.run} has models of {least_accuracy(setting, terms):g} on validation data; allowed: up to {most:.3f}"


def most_requests(setting: Setting, terms: Terms) -> int:
    """Return how many requests leave something of the training set."""
    return math.ceil(1 / (terms.size or setting.share) - 1e-9) - 1


def admissible(priced: Sequence[Priced]) -> list[Priced]:
    """Return those that are admissible."""
    return [one for one in priced if not one.failures]


def _rivalry(chosen: Priced, rival: Priced, terms: Terms) -> Rivalry:
    costs, others = (dict(zip(one.measured.seeds, one.totals[terms.by], strict=True)) for one in (chosen, rival))
    both = [seed for seed in costs if seed in others]
    if not both:
        return Rivalry(rival, None, math.nan, "open")
    difference = sign_flip([others[seed] - costs[seed] for seed in both], terms.alpha)
    cost = float(np.mean([costs[seed] for seed in both]))
    return Rivalry(rival, difference, difference.effect / cost, _word(difference, terms.margin * cost))


def _word(difference: Estimate, margin: float) -> Word:
    """Return whether it matters that one policy costs so much more than another, given the margin in the unit of costs."""
    if -margin <= difference.low and difference.high <= margin:
        return "does not matter"
    if difference.low > 0:
        return "matters" if difference.effect > margin else "cheaper"
    return "open"


def _changes(setting: Setting, good: Sequence[Priced], terms: Terms) -> list[tuple[int, Policy]]:
    most = min(MOST, most_requests(setting, terms))
    changes: list[tuple[int, Policy]] = []
    for requests in range(1, most + 1):
        asked = replace(terms, requests=requests)
        policy = min(
            good, key=lambda one: (total(one.measured, terms.by, asked).mean(), one.training(terms.by), one.policy)
        ).policy
        if not changes or (policy.arm, policy.stage) != (changes[-1][1].arm, changes[-1][1].stage):
            changes.append((requests, policy))
    return changes
