"""Mutation testing: change an operator or a constant of the package, and see whether a test fails.

python benchmarks/mutants.py [--sample N] [--seed S] [--module PATH] [--workers N]

Every change ("mutant") is one of cosmic-ray's. A copy of ``src`` gets the change, never the working tree. Tests run in a process forked from one
that has loaded torch already: those that mirror the module, those of its room and of ``tests/reference`` that name it, and those of
``tests/contracts`` for the kinds that it defines. Changes that no test notices are listed at the end. Changes that are equivalent, or let be for a
reason, stand in ``benchmarks/mutants.md`` and are not tried.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ungrok"
ROOMS = ("core", "methods", "evaluate", "analyze", "train/transition", "train/matching", "study/claims")
"""Folders and modules that are changed, without the suffix: a module may become a folder."""

OPERATORS = (
    "NumberReplacer",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_Invert",
    *(
        f"ReplaceBinaryOperator_{pair}"
        for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul")
    ),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Pow_Mul", "BitAnd_BitOr", "BitOr_BitAnd")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "Gt_LtE")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")),
)
"""Names of cosmic-ray's operators. All replacements of an operator by any other would be ten times as many and say no more."""

PRELOAD = ["torch", "pandas", "scipy.stats", "sklearn.linear_model", "pydantic", "pytest", "transformers"]
SLACK = 60.0
"""Seconds a test run may take beyond five times what it takes without a change."""


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Args:
        path: The module, relative to the repository.
        line: Of the change, from 1.
        before: The changed line as it was, stripped.
        after: As it is then.
        code: The whole module.

    """

    path: str
    line: int
    before: str
    after: str
    code: str


def modules() -> list[Path]:
    """Return the files that are changed."""
    places = [PACKAGE / room for room in ROOMS]
    return sorted(
        chain.from_iterable([*place.rglob("*.py"), *place.parent.glob(f"{place.name}.py")] for place in places)
    )


class _Bare(ast.NodeTransformer):
    """Removes annotations of functions, which are not evaluated, so that changes of them alone compare equal."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Drop the annotations of one function."""
        node.returns = None
        for argument in (
            *node.args.posonlyargs,
            *node.args.args,
            *node.args.kwonlyargs,
            node.args.vararg,
            node.args.kwarg,
        ):
            if argument is not None:
                argument.annotation = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        """Drop the annotation of one variable; those of pydantic's fields show in their values."""
        node.annotation = ast.Constant(None)
        self.generic_visit(node)
        return node


def _meaning(code: str) -> str | None:
    try:
        return ast.dump(_Bare().visit(ast.parse(code)))
    except SyntaxError:
        return None


def places(path: Path) -> Iterator[tuple[Path, str, int]]:
    """Yield path, operator and occurrence of every change of a module."""
    tree = get_ast(path.read_text())
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        changes = sum(1 for node in ast_nodes(tree) for _ in operator.mutation_positions(node))
        yield from ((path, name, occurrence) for occurrence in range(changes))


def mutant(path: Path, name: str, occurrence: int) -> Mutant | None:
    """Return a module with one change; None if the change alters nothing but annotations, or is not valid code."""
    code = path.read_text()
    changed = mutate_code(code, get_operator(f"core/{name}")(), occurrence) or code
    if _meaning(changed) in (_meaning(code), None):
        return None
    at, before, after = next(
        (i, a, b) for i, (a, b) in enumerate(zip_longest(code.splitlines(), changed.splitlines()), 1) if a != b
    )
    if "frozen" in before:  # a guard against assignments, which nothing in the package makes
        return None
    return Mutant(str(path.relative_to(ROOT)), at, before.strip(), after.strip(), changed)


def let_be() -> set[tuple[str, str]]:
    """Return (path, line after the change) of the changes that benchmarks/mutants.md explains."""
    rows = re.findall(
        r"^\| `(src/[^`]+)` \| ``? ?(.+?) ?``? \|", (ROOT / "benchmarks" / "mutants.md").read_text(), re.MULTILINE
    )
    return {(path, line.replace("\\|", "|")) for path, line in rows}


def tests_of(path: str) -> tuple[list[str], list[str]]:
    """Return pytest's arguments for the tests that mirror or name a module, and for those of its kinds under contracts."""
    module, code = Path(path).relative_to("src/ungrok").with_suffix(""), (ROOT / path).read_text()
    room, mirrored = ROOT / "tests" / module.parts[0], ROOT / "tests" / module.parent / f"test_{module.name}.py"
    names = {
        node.name
        for node in ast.parse(code).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        if node.name[0] != "_"
    }
    kinds = re.findall(r'kind: Literal\["(\w+)"\]', code)
    named = re.compile(rf"\b({'|'.join(sorted({*names, *kinds, module.name}))})\b")
    files = sorted(file for file in room.rglob("test_*.py") if file != mirrored and named.search(file.read_text()))
    first = [str(file) for file in ([mirrored] if mirrored.exists() else []) + files]
    tables = [str(ROOT / "tests" / folder) for folder in ("reference", "contracts")]
    return first, [*tables, "-k", " or ".join(kinds)] if kinds else []


def _run(copy: str, selections: list[list[str]]) -> None:
    """Run tests on a copy of ``src`` in this process, and end it with 0 if all pass."""
    os.setsid()
    os.dup2(os.open(f"{copy}/output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    os.chdir(ROOT)
    os.environ |= {"PYTHONPATH": copy, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    sys.path.insert(0, copy)
    sys.dont_write_bytecode = True
    import pytest

    for selection in filter(None, selections):
        if code := pytest.main(
            ["-x", "-p", "no:xdist", "-o", "timeout=0", "-W", "ignore::pytest.PytestAssertRewriteWarning", *selection]
        ):
            os._exit(int(code))
    os._exit(0)


class Bench:
    """Copies of ``src``, one per worker, and processes that run tests on them."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._copies: SimpleQueue[Path] = SimpleQueue()
        for worker in range(workers):
            copy = Path(
                shutil.copytree(PACKAGE, folder / str(worker) / "ungrok", ignore=shutil.ignore_patterns("__pycache__"))
            ).parent
            compileall.compile_dir(copy, quiet=2)
            self._copies.put(copy)
        self._limits: dict[str, float] = {}

    def exit_code(self, path: str, code: str, limit: float) -> int | None:
        """Return pytest's exit code on the package with one module replaced; None where it ran past the limit in seconds."""
        copy = self._copies.get()
        target = copy / Path(path).relative_to("src")
        shutil.rmtree(
            target.parent / "__pycache__", ignore_errors=True
        )  # a change within a second and of equal length is not noticed
        target.write_text(code)
        process = self._context.Process(target=_run, args=(str(copy), list(tests_of(path))))
        process.start()
        process.join(limit)
        if process.is_alive() and process.pid:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        target.write_text((ROOT / path).read_text())
        self._copies.put(copy)
        return process.exitcode if process.exitcode is not None and process.exitcode >= 0 else None

    def prepare(self, path: str) -> None:
        """Measure how long the tests of a module take without a change."""
        started = time.monotonic()
        code = self.exit_code(path, (ROOT / path).read_text(), 3600)
        if code not in (0, 5):
            raise SystemExit(f"{path}: its tests fail without a change (pytest's exit code {code})")
        self._limits[path] = SLACK + 5 * (time.monotonic() - started)

    def survives(self, mutant: Mutant) -> bool:
        """Return whether no test notices a change; tests that hang or crash have noticed it."""
        survived = self.exit_code(mutant.path, mutant.code, self._limits[mutant.path]) in (0, 5)
        print(
            "SURVIVED" if survived else "noticed",
            f"{mutant.path}:{mutant.line}: {mutant.before} → {mutant.after}",
            flush=True,
        )
        return survived


def main() -> None:
    parser = argparse.ArgumentParser(description="Change operators and constants; list what no test notices.")
    parser.add_argument("--sample", type=int, help="try so many, spread over rooms; all if left out")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--module", type=Path, help="change this file only")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    explained, rooms = let_be(), defaultdict(list)
    for path in [options.module.resolve()] if options.module else modules():
        rooms[path.parent].extend(places(path))
    for changes in rooms.values():
        random.Random(options.seed).shuffle(changes)
    spread = (mutant(*place) for row in zip_longest(*rooms.values()) for place in row if place)
    sample = islice((one for one in spread if one and (one.path, one.after) not in explained), options.sample)
    chosen = sorted(sample, key=lambda one: (one.path, one.line))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.workers) as threads:
        bench = Bench(Path(folder), options.workers)
        list(threads.map(bench.prepare, sorted({mutant.path for mutant in chosen})))
        survived = [one for one, alive in zip(chosen, threads.map(bench.survives, chosen), strict=True) if alive]
    print(f"\n{len(chosen) - len(survived)} of {len(chosen)} noticed. No test notices:")
    for one in survived:
        print(f"{one.path}:{one.line}\n    {one.before}\n    {one.after}")


if __name__ == "__main__":
    main()
