"""What users get wrong: every row is refused with exit code 2 and one short sentence that names the key or the file.

The rows were gathered by programs that put strange values at every key of recipes, changed their text at random, and called
every command with strange files and arguments; a row is added for whatever is met later.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from .conftest import TINY, call

LONGEST = 400
"""Characters of a message, its end of line counted."""
LIMIT, MOST, PATIENCE = 1.5, 15, 120.0
"""Multiples of importing torch; rounds at most, after the first only of programs over the limit, and only for so many seconds."""

RECIPE = Path(TINY).read_text(encoding="utf-8")
WEIGHTS = {"1.weight": (32, 64), "1.bias": (32,), "3.weight": (10, 32), "3.bias": (10,)}


def bomb(start: str, level: str) -> str:
    """Return YAML in which every anchor stands for ten of the one before."""
    lines = [f"a0: &a0 {start}"]
    for depth in range(1, 12):
        lines.append(f"a{depth}: &a{depth} {level.format(', '.join([f'*a{depth - 1}'] * 10))}")
    return "\n".join(lines)


FILES: dict[str, str | bytes] = {
    "tiny.yaml": RECIPE,
    "open.yaml": "a: [1",
    "brace.yaml": "a: {b: 1",
    "quote.yaml": 'name: "tiny',
    "tab.yaml": "name:\n\t- tiny",
    "indent.yaml": "name: tiny\n  seeds: [0]",
    "colon.yaml": "name: a: b",
    "at.yaml": "name: @tiny",
    "empty.yaml": "",
    "comment.yaml": "# nothing\n",
    "list.yaml": "- 1\n- 2\n",
    "number.yaml": "3",
    "text.yaml": "tiny",
    "several.yaml": "name: a\n---\nname: b\n",
    "deep.yaml": "a: " + "[" * 900 + "]" * 900,
    "deeper.yaml": "{a: " * 5000,
    "aliases.yaml": bomb("[x, x]", "[{}]"),
    "merges.yaml": bomb("{x: 1}", "{{<<: [{}]}}"),
    "inside.yaml": "a: &a [*a]\n",
    "unknown-alias.yaml": "a: *b\n",
    "merged-number.yaml": "a: {<<: 1}\n",
    "wide.yaml": f"seeds: [{', '.join(map(str, range(30_000)))}]\n",
    "large.yaml": "#" * 1_100_000,
    "int.yaml": f"{RECIPE}noise_seeds: !!int abc\n",
    "float.yaml": f"{RECIPE}noise_seeds: !!float abc\n",
    "bool.yaml": f"{RECIPE}noise_seeds: !!bool abc\n",
    "time.yaml": f"{RECIPE}along: !!timestamp abc\n",
    "binary.yaml": f"{RECIPE}along: !!binary abc\n",
    "object.yaml": f"{RECIPE}along: !!python/object/apply:os.system [ls]\n",
    "set.yaml": f"{RECIPE}along: !!set {{a, b}}\n",
    "date.yaml": f"{RECIPE}along: 2020-13-45\n",
    "long-number.yaml": f"{RECIPE}noise_seeds: {'9' * 5000}\n",
    "long-hex.yaml": f"{RECIPE}noise_seeds: 0x{'f' * 9000}\n",
    "twice.yaml": f"{RECIPE}name: other\n",
    "twice-inside.yaml": RECIPE.replace("width: 32", "width: 32, width: 33"),
    "list-key.yaml": f"{RECIPE}? [1]\n: 2\n",
    "number-key.yaml": f"{RECIPE}arms: {{1: {{}}}}\n",
    "truth-key.yaml": f"{RECIPE}yes: 1\n",
    "surrogate.yaml": RECIPE.replace("name: tiny", 'name: "a\\ud800"'),
    "null-letter.yaml": RECIPE.replace("name: tiny", 'name: "a\\0"'),
    "null-byte.yaml": b"name: \0",
    "latin.yaml": b"name: \xe9",
    "utf-16.yaml": RECIPE.encode("utf-16"),
    "binary-file.yaml": bytes(range(256)),
    "no-name.yaml": RECIPE.replace("name: tiny", ""),
    "no-model.yaml": RECIPE.replace("model: {kind: mlp, width: 32, depth: 2}", ""),
    "no-kind.yaml": RECIPE.replace("kind: mlp, ", ""),
    "two-names.yaml": f"{RECIPE}sweep: {{}}\nalong: {{}}\n",
    "junk.safetensors": b"x" * 100,
    "empty.safetensors": b"",
    "huge.safetensors": (2**62).to_bytes(8, "little") + b"{}",
    "weights.pt": b"PK\x03\x04",
    "study/recipe.yaml": "a: [1",
    "study/provenance.json": "{}",
    "half/recipe.yaml": RECIPE,
}

Row = tuple[Sequence[str], str]


def loaded(*rows: tuple[str, str]) -> list[Row]:
    """Return rows of overrides that are wrong by themselves, with what the message names."""
    return [(("show", "tiny.yaml", override), named) for override, named in rows]


def checked(*rows: tuple[str, str]) -> list[Row]:
    """Return rows of overrides that do not fit the data or the machine, with what the message names."""
    return [(("check", "tiny.yaml", override), named) for override, named in rows]


OVERRIDES = loaded(
    ("a", "override 'a'"),
    ("", "override ''"),
    ("=1", "no such key ''"),
    ("..=1", "no such key ''"),
    ("stpes=1", "no such key 'stpes'"),
    ("a=[1", "override 'a=[1'"),
    ("a={b: 1", "override 'a={b: 1'"),
    ("a='x", 'override "a=\'x"'),
    ("a=b: c: d", "override 'a=b: c: d'"),
    ("a=*b", "override 'a=*b'"),
    ("a=" + "[" * 900, "override 'a=["),
    ("a=" + "x" * 5000, "no such key 'a'"),
    ("x" * 5000 + "=1", "no such key 'xxx"),
    (".".join("a" * 500) + "=1", "override 'a.a."),
    ("\udcff=1", "a key: '\\udcff'"),
    ("name=\udcff", "override 'name=\\udcff'"),
    ("unlearn.².lr=1", "unlearn.²"),
    ("unlearn.-1.lr=1", "unlearn.-1"),
    ("unlearn.99.lr=1", "unlearn.99"),
    ("unlearn.01.lr=1", "unlearn.01"),
    ("unlearn.x.lr=1", "unlearn.x"),
    ("unlearn.x=1", "unlearn.x"),
    ("unlearn.=1", "unlearn."),
    ("unlearn." + "9" * 5000 + ".lr=1", "unlearn.999"),
    ("name.x=1", "name: 'tiny' has no keys"),
    ("unlearn=[]", "unlearn"),
    ("unlearn=null", "unlearn"),
    ("unlearn=3", "unlearn"),
    ("unlearn.0=1", "unlearn.0"),
    ("unlearn.0=[]", "unlearn.0"),
    ("unlearn.0={}", "unlearn.0.kind"),
    ("unlearn.0.kind=scurb", "unlearn.0.kind"),
    ("unlearn.0.kind=null", "unlearn.0.kind"),
    ("unlearn.0.kind=[]", "unlearn.0.kind"),
    ("unlearn.0.kind=" + "x" * 500, "unlearn.0.kind"),
    ("unlearn.0.lr=0", "unlearn.0.lr"),
    ("unlearn.0.lr=-1", "unlearn.0.lr"),
    ("unlearn.0.lr=1e400", "unlearn.0.lr"),
    ("unlearn.0.lr=.nan", "unlearn.0.lr"),
    ("unlearn.0.lr=[1e400]", "unlearn.0.lr"),
    ("unlearn.0.lr=[true]", "lr: True"),
    ("unlearn.0.lr=[]", "lr: []"),
    ("unlearn.0.lr=[[1]]", "lr: [[1]]"),
    ("unlearn.0.lr=!!int abc", "override 'unlearn.0.lr"),
    ("unlearn.0.lr=" + "x" * 500, "unlearn.0.lr"),
    ("unlearn.0.epochs=1", "unlearn.0"),
    ("unlearn.0.updates=0", "unlearn.0.updates"),
    ("unlearn.0.updates=1.5", "unlearn.0.updates"),
    ("unlearn.0.updates=1" + "0" * 23, "unlearn.0.updates"),
    ("unlearn.2.alpha=[true]", "alpha: [True]"),
    ("unlearn.2.alpha=[1, 1]", "unlearn.2.alpha"),
    ("unlearn.0.name=scrub", "unlearn: two entries"),
    ('unlearn.0.name="a\\nb"', "unlearn: 'a\\nb'"),
    ('unlearn.0.name=" "', "unlearn: ' '"),
    ('unlearn.0.name="a\\u2028b"', "unlearn: 'a\\u2028b'"),
    ("unlearn.0.name=_x", "unlearn: '_x'"),
    ("unlearn.0.name=" + "x" * 400, "unlearn: 'xxx"),
    ("unlearn.0.name=" + "é" * 60, "unlearn: 'ééé"),
    ("forget.0.name=" + "x" * 400, "forget: 'xxx"),
    ("arms={" + "x" * 400 + ": {}}", "arms: 'xxx"),
    ("controls={" + "x" * 400 + ": {kind: rescaled, stage: grokked}}", "controls: 'xxx"),
    ("name=" + "x" * 400, "name: 'xxx"),
    ("name=$x^$", "name: '$x^$'"),
    ("name=$\\frac{1$", "name: '$"),
    ("name=..", "name: '..'"),
    ("name=/", "name: '/'"),
    ("name=", "name"),
    ('name="a\\ud800"', "name"),
    ("seeds=[]", "seeds"),
    ("seeds=3", "seeds"),
    ("seeds=[0, 0]", "seeds"),
    ("seeds=[true]", "seeds: [True]"),
    ("seeds=[0.5]", "seeds.0"),
    ("seeds=[9223372036854775808]", "seeds.0"),
    ("seeds=[-9223372036854775809]", "seeds.0"),
    ("seeds=[1" + "0" * 60 + "]", "seeds.0"),
    ("seeds=[" + "9" * 5000 + "]", "override 'seeds=[9"),
    ("problem.data_seed=1" + "0" * 30, "problem.data_seed"),
    ("trajectory.steps=1" + "0" * 23, "trajectory.steps"),
    ("trajectory.steps=true", "trajectory: steps: True"),
    ("trajectory.steps=0", "trajectory.steps"),
    ("trajectory.optimizer=adam", "trajectory.optimizer"),
    ("trajectory.optimizer.lr=inf", "trajectory.optimizer.lr"),
    ("trajectory.optimizer.betas=[0.9]", "trajectory.optimizer.betas"),
    ("trajectory.evaluate_every=0", "trajectory.evaluate_every"),
    ("trajectory.batch_size=1" + "0" * 23, "trajectory.batch_size"),
    ("trajectory.loss=cross", "trajectory.loss"),
    ("batches.forget=1" + "0" * 23, "batches.forget"),
    ("batches=3", "batches"),
    ("model.depth=1000000", "model.depth"),
    ("model.width=0", "model.width"),
    ("model.width=1.5", "model.width"),
    ("model.kind=mpl", "model.kind"),
    ("problem.kind=digit", "problem.kind"),
    ("problem.train_size=1000000000000", "problem.train_size"),
    ("problem={kind: authors, vocabulary: 1000000000000}", "problem.vocabulary"),
    ("stages=[]", "stages"),
    ("stages=[²]", "stages: '²'"),
    ("stages=[step-²]", "stages: 'step-²'"),
    ("stages=[-1]", "stages"),
    ("stages=[step-99999999999999999999999]", "stages: 'step-999"),
    ("stages=[" + "x" * 500 + "]", "stages: 'xxx"),
    ("claims.compare=[[a]]", "claims.compare.0"),
    ("claims.compare=[[pre_grok, " + "x" * 500 + "]]", "claims.compare stage"),
    ("claims.alpha=1", "claims.alpha"),
    ("claims.targets=[2]", "claims"),
    ("along={unlearn: scurb, forget: class}", "along.unlearn"),
    ("arms={base: {}}", "arms: 'base'"),
    ("arms={a: {model: {width: x}}}", "arms.a.model.width"),
    ("controls={model: {kind: rescaled, stage: grokked}}", "controls: 'model'"),
    ("transition.grokked=2", "transition.grokked"),
    ("noise_seeds=" + "9" * 5000, "override 'noise_seeds=9"),
    ("noise_seeds=-1", "noise_seeds"),
    ("device=gpu", "device"),
    ("model={kind: function, function: nothing}", "model.function"),
    ("problem={kind: images, path: pets, augment: {pad: 100000000}}", "problem.augment.pad"),
    ("problem={kind: images, path: pets, augment: {pad: 9223372036854775807}}", "problem.augment.pad"),
    ("problem={kind: images, path: ''}", "problem.path"),
    ("problem={kind: authors, vocabulary: 1}", "problem.vocabulary"),
    ("problem={kind: images, path: pets, normalize: {mean: [0], std: [1.0e-320]}}", "problem.normalize"),
)

CHECKED = checked(
    ("model.width=1000000000000", "model.width"),
    ("model.width=9000000000000000000", "model"),
    ("model={kind: cnn, channels: [1000000000, 1000000000]}", "model.channels"),
    ("model={kind: resnet, width: 100000000}", "model.width"),
    ("trajectory.grokfast={kind: ma, window: 1000000000}", "trajectory.grokfast.window"),
    ("problem={kind: modular, modulus: 1000003}", "problem.modulus"),
    ("problem={kind: modular, modulus: 9223372036854775783}", "problem.modulus"),
    ("trajectory={steps: 9000000000000000000, evaluate_every: 1.0e-300}", "trajectory.evaluate_every"),
    ("trajectory={steps: 9000000000000000000, evaluate_steps: 1}", "trajectory.evaluate_steps"),
    ("trajectory={steps: 9000000000000000000, checkpoint_every: 1.0e-300}", "trajectory.checkpoint_every"),
    (f"seeds=[{','.join(map(str, range(19_000)))}]", "seeds: 19000"),
    ("problem.train_size=1700", "problem: train_size"),
    ("forget=[{kind: mislabeled}]", "problem.label_noise"),
    ("forget=[{kind: class, label_to_forget: 10}]", "forget.label_to_forget"),
    ("forget=[{kind: random, size: 9000000000000000000}]", "forget split"),
    ("model={kind: vit, patch: 3}", "model.patch"),
    ("model={kind: transformer, tokens: 7}", "model.tokens"),
    ("model={kind: llama}", "model: kind 'llama'"),
    ("model={kind: function, function: 'nowhere:f'}", "model.function: 'nowhere'"),
    ("model={kind: function, function: 'math:f'}", "model.function: 'math'"),
    ("model={kind: function, function: 'math:pi'}", "model.function: 'math'"),
    ("model={kind: function, function: 'sys:exit'}", "model"),
    ("trajectory.loss=causal_lm", "trajectory.loss"),
    ("problem={kind: vision, dataset: nist}", "problem.dataset"),
    ("problem={kind: images, path: nowhere}", "nowhere"),
    ("problem={kind: images, path: ~nobody-there/pets}", "problem.path: '~nobody-there/pets'"),
    ("problem={kind: images, path: " + "x" * 300 + "}", "problem.path: 'xxx"),
    ("problem={kind: images, path: study, test_path: " + "x" * 300 + "}", "problem."),
    ("problem={kind: images, path: tiny.yaml}", "problem.path: 'tiny.yaml'"),
    ("analyze=[{kind: fourier}]", "analyze.0"),
    ("base={steps: 1}", "base"),
    ("problem={kind: authors, tokenizer: " + "x" * 300 + "}", "problem.tokenizer: 'xxx"),
    ("problem={kind: tofu, path: " + "x" * 300 + "}", "problem.path: 'xxx"),
    ("problem={kind: authors, prompt: '{question.x}'}", "problem.prompt"),
    ("problem={kind: authors, prompt: '{question:9999999999}'}", "problem.prompt"),
    ("unlearn=[{kind: npo}]", "npo"),
    ("unlearn=[{kind: task_vector, alpha: [1.0], epochs: 1}]", "unlearn.0: 'task_vector' starts from a base model"),
)

READ = [
    (("show", name), name)
    for name in FILES
    if name.endswith(".yaml") and name not in ("tiny.yaml", "study/recipe.yaml", "half/recipe.yaml")
]

ARGUMENTS: list[Row] = [
    (("stdy",), "stdy"),
    (("show",), "RECIPE"),
    (("show", ""), "recipe: ''"),
    (("show", "digist"), "did you mean 'digits'"),
    (("show", "nothing.yaml"), "nothing.yaml"),
    (("show", "folder.yaml"), "folder.yaml"),
    (("show", "tiny.yaml/x.yaml"), "tiny.yaml/x.yaml"),
    (("show", f"{'x' * 300}.yaml"), "xxx.yaml"),
    (("show", "a\0b.yaml"), "a\\x00b.yaml"),
    (("show", "\udcff.yaml"), "\\udcff.yaml"),
    (("show", "/dev/null"), "/dev/null"),
    (("show", "-x"), "-x"),
    (("show", "digits", "--json"), "--json"),
    (("show", "digits", "seeds=[0,", "1]"), "quote it for the shell"),
    (("list",), "datasets|models"),
    (("list", ""), "list: ''"),
    (("list", "method"), "did you mean 'methods'"),
    (("list", "x" * 500), "list: 'xxx"),
    (("study", "tiny.yaml", "--workers", "-1"), "--workers"),
    (("study", "tiny.yaml", "--workers", "x"), "--workers"),
    (("study", "tiny.yaml", "--scheduler", ""), "--scheduler"),
    (("study", "tiny.yaml", "--store", "tiny.yaml"), "--store: 'tiny.yaml'"),
    (("study", "tiny.yaml", "--out", "tiny.yaml"), "--out: 'tiny.yaml'"),
    (("study", "tiny.yaml", "--out", "x" * 300), "--out: 'xxx"),
    (("study", "tiny.yaml", "--out", "tiny.yaml/a/b"), "--out: 'tiny.yaml'"),
    (("study", "tiny.yaml", "--store", "tiny.yaml/a"), "--store: 'tiny.yaml'"),
    (("check", "tiny.yaml", "--store", "tiny.yaml/a"), "--store: 'tiny.yaml'"),
    (("study", "tiny.yaml", "--out", "circle"), "--out: 'circle'"),
    (("study", "tiny.yaml", "--store", "circle"), "--store: 'circle'"),
    (("report", "half", "--store", "circle/a"), "--store: 'circle'"),
    (("study", "tiny.yaml", "--out", "a\0b"), "--out"),
    (("study", "tiny.yaml", "device=cuda"), "device"),
    (("check", "tiny.yaml", "--store", "x" * 300), "--store: 'xxx"),
    (("check", "tiny.yaml", "--store", "tiny.yaml"), "--store: 'tiny.yaml'"),
    (("study", "tiny.yaml", "--workers", "1" + "0" * 30), "--workers"),
    (("study", "tiny.yaml", "--scheduler", "x" * 300), "--scheduler: 'xxx"),
    (("check", "modular", "model={kind: transformer, width: 4000000000}", "along=null"), "model.width"),
    (("check", "tiny.yaml", "unlearn.0.updates=9000000000000000", "observe.every_until=9000000000000000"), "unlearn.0"),
    (("train", "tiny.yaml", "--seed", "77"), "--seed"),
    (("train", "tiny.yaml", "--seed", "x"), "--seed"),
    (("train", "tiny.yaml", "--seed", "1" + "0" * 30), "--seed"),
    (("train", "tiny.yaml", "--arm", "x" * 500), "--arm: 'xxx"),
    (("train", "tiny.yaml", "--without", "clas"), "--without"),
    (("train", "tiny.yaml", "--store", "tiny.yaml"), "--store: 'tiny.yaml'"),
    (("evaluate", "tiny.yaml", "--stage", "gorkked"), "--stage"),
    (("evaluate", "tiny.yaml", "--forget", "\udcff"), "--forget"),
    (("evaluate", "tiny.yaml", "--method", "scurb"), "did you mean 'scrub'"),
    (("analyze", "tiny.yaml"), "--analysis"),
    (("analyze", "tiny.yaml", "--analysis", "curvatur"), "--analysis"),
    (("analyze", "tiny.yaml", "--analysis", "weight_norm", "--stage", "step-151"), "step-151"),
    (("analyze", "tiny.yaml", "--analysis", "weight_norm", "--stage", "step-²"), "--stage"),
    (("analyze", "tiny.yaml", "--reference", "own.safetensors"), "--reference"),
    (("analyze", "tiny.yaml", "--model", "own.safetensors", "--stage", "grokked"), "--model"),
    (("unlearn", "tiny.yaml", "--trained-on-split"), "--trained-on-split"),
    (("unlearn", "tiny.yaml", "--data", "own:sets"), "--data"),
    (("unlearn", "tiny.yaml", "--model", "own.safetensors", "--data", "own:sets"), "tiny.yaml"),
    (("unlearn", "--model", "own.safetensors", "--data", "own"), "module:function"),
    (("unlearn", "lr=1", "--model", "own.safetensors", "--data", "own:sets", "--method", "scrub"), "'own' cannot be imported"),
    (("unlearn", "tiny.yaml", "--out", "new.safetensors"), "--out"),
    (("unlearn", "tiny.yaml", "--model", "own.safetensors"), "--trained-on-split"),
    (("unlearn", "tiny.yaml", "--model", "own.safetensors", "--stage", "grokked"), "--model"),
    (("unlearn", "tiny.yaml", "--model", "own.safetensors", "--forget", "tiny.yaml"), "tiny.yaml"),
    (("unlearn", "tiny.yaml", "--model", "own.safetensors", "--trained-on-split", "--out", "missing/x"), "missing/x"),
    (("unlearn", "tiny.yaml", "--model", "own.safetensors", "--trained-on-split", "--out", "."), "--out: '.'"),
    *((("unlearn", "tiny.yaml", "--model", file, "--trained-on-split"), file) for file in ("nothing.safetensors", "junk.safetensors")),
    *((("unlearn", "tiny.yaml", "--model", file, "--trained-on-split"), file) for file in ("empty.safetensors", "huge.safetensors")),
    *((("unlearn", "tiny.yaml", "--model", file, "--trained-on-split"), file) for file in ("weights.pt", "folder.yaml", "other.safetensors")),
    *((("unlearn", "tiny.yaml", "--model", file, "--trained-on-split"), file) for file in ("int.safetensors", "nan.safetensors")),
    (("unlearn", "tiny.yaml", "--model", "x" * 300, "--trained-on-split"), "--model: 'xxx"),
    (("report",), "DIR"),
    (("report", "nowhere"), "nowhere"),
    (("report", "tiny.yaml"), "tiny.yaml"),
    (("report", "study"), "study/recipe.yaml"),
    (("report", "half"), "provenance.json"),
    (("report", "x" * 300), "DIR: 'xxx"),
    (("compare", "half"), "--with"),
    (("compare", "nowhere", "--with", "paper:table1"), "nowhere"),
    (("compare", "study", "--with", "paper:table1"), "study/recipe.yaml"),
    (("compare", "x" * 300, "--with", "paper:table1"), "RUN: 'xxx"),
    (("mediation",), "RUN"),
    (("mediation", "nowhere"), ""),
    (("mediation", "nowhere", "nowhere"), "nowhere"),
    (("mediation", "study", "half"), "study/recipe.yaml"),
    (("mediation", "x" * 300, "half"), "RUN: 'xxx"),
    (("export", "nowhere", "shared"), "RUN: 'nowhere' holds no study"),
    (("export", "study", "shared"), "study/recipe.yaml"),
    (("import", "nowhere"), "FOLDER: 'nowhere' holds no exported study"),
    (("import", "x" * 300), "FOLDER: 'xxx"),
    (("store", "size"), "RUN"),
    (("store", "size", "nowhere"), "RUN: 'nowhere' holds no study"),
    (("store", "prune"), "RUN"),
    (("store", "prune", "half"), "RUN: 'half' has no job in the store"),
]  # fmt: skip

ROWS = [*READ, *OVERRIDES, *CHECKED, *ARGUMENTS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder that holds the files of the table."""
    root: Path = tmp_path_factory.mktemp("bad")
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (root / "folder.yaml").mkdir()
    (root / "circle").symlink_to("circle")
    own = {name: torch.zeros(*shape) for name, shape in WEIGHTS.items()}
    for name, changes in {
        "own": {},
        "other": {"net.weight": torch.zeros(1)},
        "int": {"1.bias": torch.zeros(32).int()},
        "nan": {"1.bias": torch.full((32,), math.nan)},
    }.items():
        save_file(own | changes, root / f"{name}.safetensors")
    return root


def test_there_are_enough_rows():
    assert len(ROWS) >= 150
    assert len({words for words, _ in ROWS}) == len(ROWS)
    assert {words[0] for words, _ in ROWS} >= {
        "study", "check", "show", "report", "train", "unlearn", "evaluate", "analyze", "compare", "mediation", "list", "export", "import", "store"
    }  # fmt: skip


@pytest.mark.parametrize(("words", "named"), ROWS, ids=[ascii(" ".join(words))[1:90] for words, _ in ROWS])
def test_a_mistake_is_one_short_sentence_and_exit_code_2(folder, words, named):
    before = sorted(folder.rglob("*"))
    code, out, err = call(folder, *words)
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) < LONGEST
    assert named in err
    assert sorted(folder.rglob("*")) == before


PROGRAMS = {
    "no recipe": ("show", "digist"),
    "no file": ("check", "nothing.yaml"),
    "no YAML": ("study", "open.yaml"),
    "nested": ("show", "deep.yaml"),
    "merge bomb": ("check", "merges.yaml"),
    "long number": ("train", "long-number.yaml"),
    "wrong key": ("study", "tiny.yaml", "stpes=1"),
    "wrong seed": ("check", "tiny.yaml", "seeds=[9223372036854775808]"),
    "no option": ("unlearn", "tiny.yaml", "--dta"),
    "no study": ("report", "nowhere"),
}


def spent(words: Sequence[str], folder: Path, code: int) -> tuple[float, str]:
    """Return the processor time of a program, user and system, and what it wrote to standard error."""
    path = os.pathsep.join(filter(None, sys.path))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=folder, env=environment | {"PYTHONPATH": path}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stderr


def test_ten_mistakes_end_the_program_at_once(folder):
    """The least processor time of each counts: another program, or Python compiling ours, can only add to it."""
    assert len(PROGRAMS) == 10
    importing, least, over = math.inf, dict.fromkeys(PROGRAMS, math.inf), [*PROGRAMS]
    started = time.monotonic()
    for _ in range(MOST):
        importing = min(importing, spent(["-c", "import torch"], folder, 0)[0])
        for name in over:
            seconds, said = spent(["-m", "ungrok.cli", *PROGRAMS[name]], folder, 2)
            assert said.startswith("error: ")
            assert said.count("\n") == 1
            least[name] = min(least[name], seconds)
        over = [name for name in PROGRAMS if least[name] > LIMIT * importing]
        if not over or time.monotonic() - started > PATIENCE:
            break
    assert {name: least[name] / importing for name in over} == {}
