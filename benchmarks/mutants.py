"""Mutation testing: change an operator or a constant of the package, and see whether a test fails.

python benchmarks/mutants.py [--sample N] [--seed S] [--module PATH ...] [--trust]

The changes are cosmic-ray's. They are made in a copy of ``src``, never in the working tree. For each change, tests run in a process forked from one
that has loaded torch: those that mirror the module, those beside these that name it, and those of ``tests/contracts`` and ``tests/reference`` for the
kinds that it defines. At the end stands what no test notices. Several runs, each with a ``--module`` of its own, may go on at once.
``benchmarks/mutants.md`` lists changes that are not tried, with the reason.
"""

from __future__ import annotations

import argparse
import ast
import gc
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
from compileall import compile_dir
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from py_compile import PycInvalidationMode

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ungrok"
ROOMS = ("core", "methods", "evaluate", "analyze", "train/transition", "train/matching", "study/claims")
"""Folders and modules that are changed, without suffix: a module may become a folder."""

BINARY = [
    "Add_Sub",
    "Sub_Add",
    "Mul_Div",
    "Div_Mul",
    "FloorDiv_Mul",
    "Mod_Mul",
    "Pow_Mul",
    "BitAnd_BitOr",
    "BitOr_BitAnd",
]
COMPARISON = [
    "Lt_LtE",
    "LtE_Lt",
    "Gt_GtE",
    "GtE_Gt",
    "Lt_GtE",
    "Gt_LtE",
    "Eq_NotEq",
    "NotEq_Eq",
    "Is_IsNot",
    "IsNot_Is",
]
OPERATORS = (
    *("NumberReplacer", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *(f"ReplaceUnaryOperator_{pair}" for pair in ("USub_UAdd", "Delete_Not", "Delete_Invert")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in BINARY),
    *(f"ReplaceComparisonOperator_{pair}" for pair in COMPARISON),
)
"""Cosmic-ray's names. It can replace an operator by any other, which gives ten times as many changes and says no more."""

PRELOAD = [
    *(
        "torch",
        "torch.func",
        "pandas",
        "scipy.stats",
        "scipy.optimize",
        "pydantic",
        "pytest",
        "hypothesis",
        "hypothesis.strategies",
    ),
    *("sklearn.linear_model", "sklearn.svm", "sklearn.model_selection", "sklearn.pipeline", "transformers", "datasets"),
]
OPTIONS = ("-x", "-p", "no:xdist", "-p", "no:anyio", "-o", "timeout=0", "--assert=plain")
"""Of pytest. A failed assertion need not explain itself, which takes seconds to prepare."""

UNKNOWN = 300.0
"""Seconds that tests may take where nobody measured how long they take without a change."""


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Args:
        path: The module, relative to the repository.
        line: Of the change, from 1.
        before: The line as it was, stripped.
        after: The changed line, stripped.
        code: The whole module with the change.

    """

    path: str
    line: int
    before: str
    after: str
    code: str


def modules(rooms: list[Path]) -> list[Path]:
    """Return the files that are changed: those of folders, and modules given with or without suffix."""
    rooms = [room.resolve().with_suffix("") for room in rooms] or [PACKAGE / room for room in ROOMS]
    return sorted(chain.from_iterable([*room.rglob("*.py"), *room.parent.glob(f"{room.name}.py")] for room in rooms))


class _Bare(ast.NodeTransformer):
    """Removes what a change of nothing else makes no mutant; ``benchmarks/mutants.md`` says why."""

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        """Put all arguments into one list, each with its default, but for those of ``seed`` and ``chunk``."""
        positional = [*node.posonlyargs, *node.args]
        defaults = [*[None] * (len(positional) - len(node.defaults)), *node.defaults, *node.kw_defaults]
        node.args = [*positional, *node.kwonlyargs]
        pairs = zip(node.args, defaults, strict=True)
        node.kw_defaults = [None if arg.arg in ("seed", "chunk") else default for arg, default in pairs]
        node.posonlyargs, node.kwonlyargs, node.defaults = [], [], []
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Drop what an error says."""
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        """Drop what changes no value."""
        if node.arg == "non_blocking":
            node.value = ast.Constant(None)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Drop the annotation of an argument."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Drop what a function is said to return."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Drop the annotation of a variable."""
        node.annotation = ast.Constant(None)
        if isinstance(node.target, ast.Name) and node.target.id == "seed":
            node.value = None
        return self.generic_visit(node)


def _meaning(code: str) -> str | None:
    try:
        return ast.dump(_Bare().visit(ast.parse(code)))
    except SyntaxError:  # cosmic-ray takes ** in {**a} for a power
        return None


def places(path: Path) -> Iterator[tuple[Path, str, int]]:
    """Yield path, operator and occurrence of every change of a module."""
    tree = get_ast(path.read_text())
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        changes = sum(1 for node in ast_nodes(tree) for _ in operator.mutation_positions(node))
        yield from ((path, name, occurrence) for occurrence in range(changes))


def mutant(path: Path, name: str, occurrence: int) -> Mutant | None:
    """Return a module with one change; None if nothing changes that a test should notice, or the code is not valid."""
    code = path.read_text()
    changed = mutate_code(code, get_operator(f"core/{name}")(), occurrence) or code
    if _meaning(changed) in (_meaning(code), None):
        return None
    lines = enumerate(zip_longest(code.splitlines(), changed.splitlines()), 1)
    line, before, after = next((line, a.strip(), b.strip()) for line, (a, b) in lines if a != b)
    if any(before.replace(f"{guard}=True", f"{guard}=False") == after for guard in ("frozen", "strict")):
        return None
    return Mutant(str(path.relative_to(ROOT)), line, before, after, changed)


def let_be() -> dict[str, list[re.Pattern[str]]]:
    r"""Return by path the changed lines that ``benchmarks/mutants.md`` lists; there … is any text, and | is written as \\|."""
    table = (ROOT / "benchmarks" / "mutants.md").read_text()
    lines = defaultdict(list)
    for path, line in re.findall(r"^\| `(src/[^`]+)` \| `(.+?)` \| ", table, re.MULTILINE):
        parts = line.replace("\\|", "|").split("…")
        lines[path].append(re.compile(".*".join(map(re.escape, parts))))
    return lines


def _kinds(code: str) -> list[str]:
    return re.findall(r'^ +kind: Literal\["(\w+)"\]', code, re.MULTILINE)


def tests_of(path: str) -> list[list[str]]:
    """Return pytest's arguments: for the tests that mirror or name a module, and for those of the kinds that it defines."""
    module, code = Path(path).relative_to("src/ungrok").with_suffix(""), (ROOT / path).read_text()
    mirrored = ROOT / "tests" / module.parent / f"test_{module.name}.py"
    defined = [node.name for node in ast.parse(code).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    kinds = _kinds(code)
    if not kinds:  # a base class: three of the kinds that are made of it stand for all
        users = (file.read_text() for file in sorted((ROOT / path).parent.glob("*.py")))
        kinds = [kind for user in users if f".{module.name} import" in user for kind in _kinds(user)][:3]
    named = re.compile(rf"\b({'|'.join([module.name, *kinds, *(name for name in defined if name[0] != '_')])})\b")
    room = sorted(mirrored.parent.rglob("test_*.py"), key=lambda file: (file != mirrored, file))
    files = [str(file) for file in room if file == mirrored or named.search(file.read_text())]
    tables = [str(ROOT / "tests" / folder) for folder in ("reference", "contracts")]
    return [files, [*tables, "-k", " or ".join(kinds)] if kinds else []]


def _run(copy: str, selections: list[list[str]]) -> None:
    """Run tests on a copy of ``src`` in this process, and end it with pytest's exit code."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    os.chdir(ROOT)
    os.environ |= {"PYTHONPATH": copy, "PYTHONDONTWRITEBYTECODE": "1"}
    sys.path.insert(0, copy)
    sys.dont_write_bytecode = True  # a change within a second and of equal length would not be seen
    gc.freeze()  # what is loaded need not be looked through by pytest
    import pytest

    for selection in filter(None, selections):
        code = pytest.main([*OPTIONS, *selection])
        if code not in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            os._exit(int(code))
    os._exit(0)


class Bench:
    """A copy of ``src``, and processes that run tests on it."""

    def __init__(self, folder: str) -> None:
        self.copy = Path(folder)
        shutil.copytree(PACKAGE, self.copy / "ungrok", ignore=shutil.ignore_patterns("__pycache__"))
        compile_dir(folder, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)  # seen by content, not by time
        os.environ["OMP_NUM_THREADS"] = "1"  # before the server of processes loads what reads it
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)

    def passes(self, path: str, code: str, limit: float) -> bool:
        """Return whether all tests pass within ``limit`` seconds with one module replaced."""
        target = self.copy / Path(path).relative_to("src")
        target.write_text(code)
        process = self._context.Process(target=_run, args=(str(self.copy), tests_of(path)))
        process.start()
        process.join(limit)
        if process.is_alive() and process.pid:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        target.write_text((ROOT / path).read_text())
        return process.exitcode == 0

    def limit(self, path: str) -> float:
        """Return how many seconds the tests of a module may take, from what they take without a change."""
        started = time.monotonic()
        if not self.passes(path, (ROOT / path).read_text(), 3600):
            raise SystemExit(f"{path}: its tests fail without a change")
        return 60 + 5 * (time.monotonic() - started)


def choose(paths: list[Path], size: int | None, seed: int) -> list[Mutant]:
    """Return changes in random order, rooms in turn; all of them where ``size`` is None."""
    explained, rooms = let_be(), defaultdict(list)
    for path in paths:
        rooms[path.parent].extend(places(path))
    for changes in rooms.values():
        random.Random(seed).shuffle(changes)
    spread = (mutant(*place) for row in zip_longest(*rooms.values()) for place in row if place)
    chosen = (one for one in spread if one and not any(line.fullmatch(one.after) for line in explained[one.path]))
    return list(islice(chosen, size))


def main() -> None:
    parser = argparse.ArgumentParser(description="Change operators and constants; list what no test notices.")
    parser.add_argument("--sample", type=int, help="try so many, spread over rooms; all if left out")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--module", type=Path, nargs="+", default=[], help="change these files or folders only")
    parser.add_argument("--trust", action="store_true", help="do not check first that the tests pass without a change")
    options = parser.parse_args()
    chosen = choose(modules(options.module), options.sample, options.seed)
    survived, limits = [], dict.fromkeys([one.path for one in chosen] if options.trust else [], UNKNOWN)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder)
        for one in sorted(chosen, key=lambda one: (one.path, one.line)):
            if one.path not in limits:
                limits[one.path] = bench.limit(one.path)
            if bench.passes(one.path, one.code, limits[one.path]):
                survived.append(one)
            word = "SURVIVED" if one in survived else "noticed"
            print(f"{word} {one.path}:{one.line}\n    {one.before}\n    {one.after}", flush=True)
    print(f"\n{len(chosen) - len(survived)} of {len(chosen)} noticed. No test notices:")
    for one in survived:
        print(f"{one.path}:{one.line}\n    {one.before}\n    {one.after}")


if __name__ == "__main__":
    main()
