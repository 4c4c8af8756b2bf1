"""Overrides as a shell hands them over."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from ungrok.cli.options import one_of, split_by_shell
from ungrok.core.errors import RecipeError


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["seeds=[0,", "1]"], "seeds=[0, 1]"),
        (["a=1", "forget=[{kind:", "class},", "{kind:", "random}]", "b=2"], "forget=[{kind: class}, {kind: random}]"),
        (["seeds=[0,1]", "b=2"], None),
        (["seeds=[0,", "1"], None),
        (["seeds=[0"], None),
        ([], None),
    ],
)
def test_what_a_shell_has_split_is_put_together(words, whole):
    assert split_by_shell(words) == whole


def test_an_override_that_a_shell_has_split_is_to_be_quoted(ungrok):
    code, out, err = ungrok("show", "digits", "trajectory.steps=10", "seeds=[0,", "1]")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.endswith("; quote it for the shell: 'seeds=[0, 1]'\n")


def test_other_mistakes_have_no_such_hint(ungrok):
    assert "quote it" not in ungrok("show", "digits", "seeds=[0,1")[2]


def test_the_base_arm_has_the_name_that_recipes_give_it():
    from ungrok.cli.options import BASE
    from ungrok.study import recipe

    assert BASE == recipe.BASE


def test_the_first_of_what_is_allowed_is_the_default():
    assert one_of("--seed", None, [3, 4]) == 3
    assert one_of("--seed", 4, [3, 4]) == 4
    with pytest.raises(RecipeError, match=r"--seed: 5 is not known; allowed: 3, 4"):
        one_of("--seed", 5, [3, 4])


@pytest.mark.parametrize("command", ["study", "check", "show", "train", "unlearn", "evaluate", "analyze"])
def test_overrides_stand_once_in_the_usage(ungrok, command):
    code, out, _ = ungrok(command, "--help")
    usage = " ".join(out.partition("\n\n")[0].split())
    assert code == 0
    assert usage.count("KEY=VALUE") == 1
    assert not re.search(r"\.\.\.\S*\.\.\.", usage)


def test_recipes_are_completed(environment):
    """As bash asks for it."""
    asked = {"_UNGROK_COMPLETE": "complete_bash", "COMP_WORDS": "ungrok show digits-m", "COMP_CWORD": "2"}
    code = "import sys; sys.argv = ['ungrok']; from ungrok.cli import app; app(prog_name='ungrok')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment | asked)
    assert done.stdout.split() == ["digits-mechanism", "digits-methods"], done.stderr
