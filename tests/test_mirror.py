"""Every module has a file of tests at the mirrored path, and every file of tests a module."""

from __future__ import annotations

from pathlib import Path

import ungrok

SOURCE, TESTS = Path(ungrok.__file__).parent, Path(__file__).parent

ENTRY = {"__init__", "__main__"}
"""Modules that only name what others define, or only call it."""

ACROSS = {
    "analyze/test_language.py": "analyses on language models",
    "cli/test_bad_input.py": "bad recipes, overrides, files and arguments, over all commands",
    "cli/test_speed.py": "processor time of commands",
    "contracts/test_analyses.py": "every analysis",
    "contracts/test_declared.py": "what classes declare of themselves",
    "contracts/test_entrances.py": "every way in for models and data",
    "contracts/test_jobs.py": "every kind of job",
    "contracts/test_language.py": "every method and analysis on language models",
    "contracts/test_metrics.py": "every metric",
    "contracts/test_settings.py": "every block of settings",
    "contracts/test_stress.py": "every stress test",
    "contracts/test_unlearners.py": "every method",
    "methods/test_pages.py": "docs/methods",
    "methods/test_plugin.py": "a method that another package brings",
    "reference/test_advice.py": "prices of policies against one update and one request after another",
    "reference/test_augment.py": "augmentation against another implementation",
    "reference/test_gradients.py": "gradients against one backward pass per example",
    "reference/test_paths.py": "methods against another implementation",
    "reference/test_stress.py": "rounding and barriers against another implementation",
    "report/test_reading_back.py": "a study that is written and opened again",
    "study/test_adapters.py": "a whole study on adapters of a pretrained model",
    "study/test_keys.py": "keys of every kind of job",
    "study/test_language.py": "a whole study on a language model",
    "study/test_pooled.py": "measures over several studies",
    "test_api_page.py": "docs/api.md",
    "test_cite_page.py": "docs/cite.md",
    "test_contributing.py": "CONTRIBUTING.md",
    "test_docs_blocks.py": "code on all pages",
    "test_mirror.py": "this",
    "test_problem_page.py": "docs/problem.md",
    "test_slurm_page.py": "docs/slurm.md",
    "test_sweep_page.py": "docs/sweep.md",
    "tools/test_durability.py": "benchmarks/durability.py",
    "tools/test_gguf_folder.py": "tools/gguf_folder.py",
    "tools/test_language_metrics.py": "tools/language_metrics.py",
    "study/claims/test_planted.py": "all claims, on planted truths",
    "tools/test_planted.py": "benchmarks/planted.py",
    "tools/test_sizes.py": "tools/sizes.py",
    "tools/test_verdicts.py": "benchmarks/verdicts.py",
    "train/test_images.py": "training on stored images",
}
"""Files that test more than one module, or something that is no module, and what that is."""


def expected():
    """Return, per module, where its tests are."""
    modules = (path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
    return {path.with_name(f"test_{path.stem.lstrip('_')}.py").as_posix() for path in modules if path.stem not in ENTRY}


def test_modules_and_files_of_tests_mirror_each_other():
    there = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    assert len(expected()) > 150
    assert sorted(expected() - there) == [], "a module without tests of its own"
    assert sorted(there - expected()) == sorted(ACROSS)
