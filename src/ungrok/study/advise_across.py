"""What to advise where no study was made, and how often that is right: the rule over several settings, tested by leaving each out.

Over several settings the rule looks, for every policy, at the log of C(K) over that of each setting's own choice; where the policy is not admissible, C(K)
of the cheapest admissible retraining is added, since that must follow. Settings whose models were trained alike are averaged and count as one. The rule
takes the policy with the least mean, among those that at least half of the trainings with any policy in question have, and that are admissible in at
least half of these. Leaving out: the rule is applied to the settings trained otherwise than the one held out, among the policies that this one has. It
was *right* where its choice is admissible in the setting held out, and costs at most the margin more than the cheapest admissible policy there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ungrok.study.advise import Terms, admissible, price
from ungrok.study.deletion_costs import Policy, Setting


@dataclass(frozen=True)
class HeldOut:
    """What settings trained differently advise for one that was left out.

    Args:
        setting: The setting left out.
        choice: The policy that the others advise.
        best: The cheapest admissible policy here.
        ratio: Cost of the choice over that of the best, retraining included where it is not admissible.
        admissible: Whether the choice is admissible here.
        right: Whether it is, and within the margin of the best.

    """

    setting: Setting
    choice: Policy
    best: Policy
    ratio: float
    admissible: bool
    right: bool


@dataclass(frozen=True)
class Loss:
    """What a policy costs in a setting: the log of its cost over that of the cheapest admissible one there, and whether it is admissible itself."""

    log_ratio: float
    admissible: bool


def losses(setting: Setting, terms: Terms) -> dict[Policy, Loss]:
    """Return what every policy costs in a setting beside the cheapest admissible one; empty where no stage is accurate enough.

    A policy that is not admissible must be followed by retraining to a stage that is accurate enough, whose C(K) is added; where none is, since
    only the models of a scheme are, by the cheapest admissible policy. Policies whose cost is not known are left out.
    """
    priced = price(setting, terms)
    good = admissible(priced)
    if not good:
        return {}
    best = good[0].total(terms.by)
    again = next((one for one in good if one.policy.retrains), good[0]).total(terms.by)
    return {
        one.policy: Loss(math.log((one.total(terms.by) + again * bool(one.failures)) / best), not one.failures)
        for one in priced
        if math.isfinite(one.total(terms.by))
    }


def overall(settings: Sequence[Setting], terms: Terms, among: Setting | None = None) -> Policy | None:
    """Return the policy that the rule takes over several settings; None where there is none.

    Args:
        settings: The settings.
        terms: What is asked.
        among: The setting whose policies are chosen from; those of all where None.

    """
    told = [one for one in _by_training(settings, terms, None if among is None else among.policies) if one]
    means = {}
    for policy in sorted({policy for one in told for policy in one}):
        own = [one[policy] for one in told if policy in one]
        if 2 * len(own) >= len(told) and 2 * sum(loss.admissible for loss in own) >= len(own):
            means[policy] = float(np.mean([loss.log_ratio for loss in own]))
    return min(means, key=lambda policy: (means[policy], policy), default=None)


def _by_training(
    settings: Sequence[Setting], terms: Terms, among: Mapping[Policy, object] | None
) -> list[dict[Policy, Loss]]:
    """Return one table for settings trained alike: mean losses, admissible where at least half of them are."""
    tables: dict[str, dict[Policy, list[Loss]]] = {}
    for setting in settings:
        table = tables.setdefault(setting.training, {})
        for policy, loss in losses(setting, terms).items():
            if among is None or policy in among:
                table.setdefault(policy, []).append(loss)
    return [
        {
            policy: Loss(
                float(np.mean([loss.log_ratio for loss in own])), 2 * sum(loss.admissible for loss in own) >= len(own)
            )
            for policy, own in table.items()
        }
        for table in tables.values()
    ]


def held_out(settings: Sequence[Setting], terms: Terms) -> list[HeldOut]:
    """Leave out each setting in turn, with those whose models were trained alike; settings for which nothing can be advised are left away."""
    every = []
    for setting in settings:
        own = losses(setting, terms)
        choice = (
            overall([other for other in settings if other.training != setting.training], terms, setting)
            if own
            else None
        )
        if choice is None:
            continue
        best = admissible(price(setting, terms))[0].policy
        loss = own[choice]
        right = loss.admissible and loss.log_ratio <= math.log1p(terms.margin) + 1e-12
        every.append(HeldOut(setting, choice, best, math.exp(loss.log_ratio), loss.admissible, right))
    return every
