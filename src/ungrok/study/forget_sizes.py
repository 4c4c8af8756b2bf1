"""How many examples were to be forgotten and how many were retained, by forget split, seed and request: as the scores of paths tell."""

from __future__ import annotations

from collections.abc import Iterator

from ungrok.core.files import tensor_shapes
from ungrok.study.jobs.unlearn import SCORES
from ungrok.study.plan import Plan
from ungrok.study.plan_sequences import UNLEARNED
from ungrok.study.store import Store

Sizes = dict[str, dict[str, dict[str, list[list[int]]]]]
"""By arm, label of the forget split and seed: for each request in turn the examples to forget and to retain. Seeds are texts, as in JSON."""


def sizes_of(plan: Plan, store: Store) -> Sizes:
    """Return the sizes of forget splits, up to the first request of which no path has left its start.

    Seeds of which the store holds no path are left out.
    """
    sizes: Sizes = {}
    for (arm, forget, seed, phase), key in _paths(plan):
        file = store.folder(key) / SCORES
        known = sizes.get(arm, {}).get(forget, {}).get(str(seed), [])
        if len(known) == phase - 1 and file.is_file():
            shapes = tensor_shapes(file)
            both = [shapes["forget"][0], shapes["retain"][0]]
            sizes.setdefault(arm, {}).setdefault(forget, {})[str(seed)] = [*known, both]
    return sizes


def _paths(plan: Plan) -> Iterator[tuple[tuple[str, str, int, int], str]]:
    """Yield arm, forget split, seed, request and key of the job that walked each path, the first requests first."""
    for path in plan.paths:
        yield (path.arm, path.forget, path.seed, 1), path.path
    for phase in range(2, plan.recipe.requests + 1):
        for one in plan.sequences:
            if one.subject == UNLEARNED:
                yield (one.arm, one.forget, one.seed, phase), plan.jobs[one.rows].inputs[f"path_{phase}"]
