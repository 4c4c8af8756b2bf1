"""Code on the pages: command lines parse against the program's own options, recipes resolve, and every Python block runs somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch import nn
from typer.main import get_command

import ungrok
from ungrok.cli.app import app
from ungrok.cli.options import load_recipe
from ungrok.recipes import shipped

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "methods").glob("*.md")), ROOT / "README.md"]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (ungrok .*)$", re.MULTILINE)
INLINE = re.compile(r"`(ungrok [a-z][^`]*)`")
HISTORY = {"log.md"}
"""Pages that tell what once was typed."""

RUN_ELSEWHERE = {
    "plugins.md": "tests/methods/test_plugin.py",
    "problem.md": "tests/test_problem_page.py",
    "sweep.md": "tests/test_sweep_page.py",
    "mechanism.md": "tests/test_docs_blocks.py",
    "rewind_to_delete.md": "tests/test_docs_blocks.py",
    "tutorial.md": "tests/test_docs_blocks.py",
    "data.md": "tests/test_docs_blocks.py",
    "huggingface.md": "tests/test_docs_blocks.py",
    "language.md": "tests/test_docs_blocks.py",
}
"""Pages with Python that is not typed at a prompt, and the tests that run it."""


def command_lines(text):
    """Return the lines of blocks and text that call the program, as words; a backslash joins lines."""
    blocks = [code.replace("\\\n", " ") for language, code in FENCED.findall(text) if language == "bash"]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines = [*(line for line in lines if line.startswith("ungrok ")), *INDENTED.findall(text)]
    return [shlex.split(re.sub(r"\$\w+", "1", line), comments=True)[1:] for line in lines]


def parsed(words):
    """Return the command that words name and what its parser makes of the rest, without running it."""
    command = get_command(app)
    while hasattr(command, "commands"):
        assert words, "a command is missing"
        assert words[0] in command.commands, f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    context = command.context_class(command, info_name=command.name)
    values, left, _ = command.make_parser(context).parse_args(list(words))
    assert not left, f"{left} is too much"
    for parameter in command.params:
        assert values.get(parameter.name) or not parameter.required, f"{parameter.name} is missing"
    return command, values


LINES = [
    pytest.param(words, id=f"{page.name}: {' '.join(words)}")
    for page in PAGES
    if page.name not in HISTORY
    for words in command_lines(page.read_text(encoding="utf-8"))
]


def test_lines_are_found_on_the_pages():
    on_tutorial = command_lines((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    assert on_tutorial[:2] == [["show", "digits"], ["check", "digits", "trajectory.steps=20000"]]
    assert on_tutorial[3][-1] == "claims.compare=[[pre_grok, grokked], [pre_grok, final]]"
    assert len(LINES) > 25


@pytest.mark.parametrize("words", LINES)
def test_a_line_has_only_commands_options_and_recipes_that_exist(words):
    _, values = parsed(words)
    recipe = values.get("recipe")
    if recipe in shipped():
        load_recipe(recipe, values.get("overrides") or ())
    else:
        # Without a recipe, what stands there are settings of the method.
        assert recipe is None or recipe.endswith(".yaml") or (values.get("data") and "=" in recipe)


@pytest.mark.parametrize("words", [["study"], ["study", "digits", "--no-such"], ["store"], ["studdy", "digits"]])
def test_a_wrong_line_is_found(words):
    with pytest.raises(Exception, match=r"missing|No such option|no command"):
        parsed(words)


def test_commands_named_in_the_text_exist():
    named = {
        tuple(words.split()[1:3])
        for page in PAGES
        if page.name not in HISTORY
        for words in INLINE.findall(page.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    commands = get_command(app).commands
    for first, *rest in named:
        assert first in commands, first
        if rest and hasattr(commands[first], "commands"):
            assert rest[0].split("|")[0] in commands[first].commands


def plain_python(page):
    """Return the blocks of Python of a page that are not typed at a prompt."""
    found = FENCED.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    return [code for language, code in found if language == "python" and not code.startswith(">>> ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_typed_at_a_prompt_or_run_by_a_test_of_its_own(page):
    if plain := plain_python(page):
        assert page.name in RUN_ELSEWHERE, plain[0][:200]
        runner = (ROOT / RUN_ELSEWHERE[page.name]).read_text(encoding="utf-8")
        assert f'"{page.name}"' in runner or f"docs/{page.name}" in runner


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_of_yaml_can_be_read(page):
    for language, code in FENCED.findall(page.read_text(encoding="utf-8")):
        if language == "yaml":
            assert yaml.safe_load(code) is not None


def test_the_readings_of_an_analysis_are_printed(capsys):
    (code,) = plain_python("mechanism.md")
    torch.manual_seed(0)
    sets = {name: [(torch.randn(6, 4), torch.arange(6) % 3)] for name in ("forget", "retain", "test")}
    models = {"model": nn.Linear(4, 3), "oracle": nn.Linear(4, 3)}
    exec(code, {"objective": ungrok.Classification(), **models, **sets})
    assert "cosine" in capsys.readouterr().out


def test_the_generator_of_earlier_models_serves_rewind_to_delete():
    (code,) = plain_python("methods/rewind_to_delete.md")
    torch.manual_seed(0)
    batch, asked = (torch.randn(6, 4), torch.arange(6) % 3), []

    def load_checkpoint(at):
        asked.append(at)
        model = nn.Linear(4, 3)
        return model, torch.optim.SGD(model.parameters(), lr=0.1)

    def update(model, optimizer, batch):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()

    own = {"load_checkpoint": load_checkpoint, "update": update, "retained_batches_from": lambda at: [batch] * (8 - at)}
    exec(code, {"ungrok": ungrok, "model": nn.Linear(4, 3), "forget": [batch], "updates": 8, **own})
    assert asked == [4]


def test_medians_are_printed_from_the_results_of_a_study(tmp_path, monkeypatch, capsys):
    (code,) = plain_python("tutorial.md")
    monkeypatch.chdir(tmp_path)
    Path("runs/digits-…").mkdir(parents=True)
    place = {"stage": "grokked", "forget": "class", "method": "scrub"}
    rows = [
        place | {"seed": seed, "dose": dose, "updates": dose, "RA": 0.5, "TA": 0.5, "reached_0.1": dose >= 10 * seed}
        for seed in (1, 2, 3)
        for dose in (30, 20, 10)
    ]
    pd.DataFrame(rows).to_parquet("runs/digits-…/results.parquet")
    exec(code, {})
    assert capsys.readouterr().out.split()[-3:] == ["20.0", "0.5", "0.5"]


def test_a_builder_of_models_has_the_width_asked_for():
    names = {}
    exec(plain_python("data.md")[1], names)
    assert [layer.weight.shape for layer in names["wide"]((1, 8, 8), 10, factor=2)[1::2]] == [(200, 64), (10, 200)]


@pytest.mark.parametrize("page", ["data.md", "huggingface.md", "language.md"])
def test_blocks_that_need_a_download_name_what_exists(page):
    """These need a data set, weights of the hub or files of the reader's own: their imports run, and the rest compiles."""
    code = plain_python(page)[0]
    imports = [line for line in code.splitlines() if line.startswith(("import ", "from "))]
    assert imports
    exec("\n".join(imports), {})
    compile(code, page, "exec")
