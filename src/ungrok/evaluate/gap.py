"""Distances to the oracle, and the paper's efficiency score."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = ("UA", "RA", "TA")


def oracle_gap(model: Mapping[str, float | None], oracle: Mapping[str, float | None]) -> float | None:
    """Return the mean of ``|UA − UA*|``, ``|RA − RA*|`` and ``|TA − TA*|``; None where any is missing.

    This is the "average gap" of Fan et al. 2024 (SalUn, arXiv 2310.12508) without its membership term.
    """
    pairs = [(model[name], oracle[name]) for name in NAMES]
    if any(a is None or b is None for a, b in pairs):
        return None
    ua, ra, ta = (abs(a - b) for a, b in pairs if a is not None and b is not None)
    return (ua + ra + ta) / len(NAMES)  # the built-in sum rounds otherwise from Python 3.12 on


def ues(original: Mapping[str, float | None], unlearned: Mapping[str, float | None]) -> float | None:
    """Return the paper's unlearning efficiency score, in 1/accuracy; None where it is undefined.

    ``UES = (UA_o − UA_u) / ((TA_o − TA_u)·(RA_o − RA_u))``, accuracies in [0, 1] (arXiv 2512.03437). The denominator is a
    product of two small differences: it passes through zero and changes sign, so the value has no stable meaning.
    """
    drops = [(original[name], unlearned[name]) for name in NAMES]
    if any(a is None or b is None for a, b in drops):
        return None
    ua, ra, ta = (a - b for a, b in drops if a is not None and b is not None)
    return ua / (ta * ra) if ta * ra != 0 else None
