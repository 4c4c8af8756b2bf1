"""The card of an exported study: a README.md whose YAML header tells the Hugging Face hub, and ``datasets``, which files are what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE

TABLES = {
    "results": ("paths", "every observed place of every unlearning path, with UA, RA, TA and the oracle's"),
    "curves": ("trajectories", "the metrics of every training run at its evaluated steps"),
    "transitions": ("transitions", "when each training run memorized and generalized"),
    "oracles": ("oracles", "the accuracies of the models that were retrained without the forget set"),
    "audits": ("audits", "membership inference"),
    "mechanism": ("mechanism", "measures of what happens inside the models"),
    "groups": ("groups", "forget sets that were chosen by how training went"),
    "controls": ("controls", "matched and rescaled checkpoints"),
    "sequences": ("sequences", "several requests, one after another"),
    "stress": ("stress", "attacks after unlearning"),
    "lasting": ("lasting", "places at which forgetting lasts"),
    "learned": ("learned", "when each forget set was shown and learned"),
    "schemes": ("schemes", "schemes that prepare for deletion during training, and what requests cost them"),
    "timings": ("timings", "seconds per job"),
}
"""By the name of a study's table: that of the configuration, and what it holds."""

JOBS = "jobs"
"""The configuration with one row per job: its spec, inputs and result as JSON texts, and the checksums of its tensors."""


def card(recipe: Recipe, tables: Sequence[str], made: Mapping[str, Any], jobs: int, weights: bool) -> str:
    """Return the text of a card.

    Args:
        recipe: Of the study.
        tables: Names of the tables that are exported, without their ending.
        made: Its provenance.
        jobs: How many jobs are exported.
        weights: Whether models are, too.

    """
    named = [(*TABLES[name], f"data/{name}.parquet") for name in TABLES if name in tables]
    configs = [{"config_name": name, "data_files": file} for name, _, file in named]
    configs += [{"config_name": JOBS, "data_files": f"data/{JOBS}.parquet"}]
    header = {
        "pretty_name": f"ungrok study {recipe.name}",
        "tags": ["machine-unlearning", "grokking", "ungrok"],
        "configs": [configs[0] | {"default": True}, *configs[1:]],
    }
    versions = ", ".join(f"{name} {version}" for name, version in (made.get("versions") or {}).items() if version)
    s, stages = "s" * (len(recipe.seeds) > 1), ", ".join(f"`{stage}`" for stage in recipe.stages_of(BASE))
    lines = [
        "---",
        yaml.safe_dump(header, sort_keys=False, allow_unicode=True).strip(),
        "---",
        "",
        f"# {recipe.name}",
        "",
        f"A study of machine unlearning, made with ungrok: problem `{recipe.problem.kind}`, {len(recipe.seeds)} seed{s}, stages {stages}. "
        "The recipe is `recipe.yaml`.",
        "",
        "| configuration | holds |",
        "|---|---|",
        *(f"| `{name}` | {holds} |" for name, holds, _ in named),
        f"| `{JOBS}` | the {jobs} jobs from which the tables were made |",
        "",
        "The folder `files` holds scores as safetensors, by the key of their job"
        + (", and the models." if weights else "; models were left out."),
        "",
        "    ungrok import . --store store",
        "    ungrok study recipe.yaml --store store --out runs/imported",
        "",
        f"Made on {made.get('date', 'an unknown day')} with {versions or 'unknown versions'}.",
        "",
    ]
    return "\n".join(lines)
