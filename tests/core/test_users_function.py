"""A function that a command names as module:function."""

from __future__ import annotations

import sys

import pytest

from ungrok.core.errors import RecipeError
from ungrok.core.users_function import called, users_function


def test_it_is_found_in_the_current_folder_and_leaves_the_path_alone(tmp_path, monkeypatch):
    (tmp_path / "mine_of_a_user.py").write_text("def sets():\n    return 7\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert users_function("mine_of_a_user:sets", "--data")() == 7
    assert sys.path == before
    with pytest.raises(RecipeError, match=r"--data: 'mine_of_a_user' has no function 'set'.*'sets'"):
        users_function("mine_of_a_user:set", "--data")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine", "'mine' is not allowed; allowed: module:function"),
        ("mine:", "'mine:' is not allowed"),
        ("no_such_module:sets", "'no_such_module' cannot be imported"),
        ("json:decoder", "'json' has no function 'decoder'"),
    ],
)
def test_what_is_none_is_told(name, words):
    with pytest.raises(RecipeError, match=f"^--train: {words}"):
        users_function(name, "--train")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("no_colon", "allowed: module:function"),
        ("os:getcwd", "--data: 'os:getcwd' gives a str; allowed: a dict with forget, retain"),
        ("json:loads", "--data: 'json:loads' fails \\(loads"),
    ],
)
def test_functions_that_give_no_dict_are_named(data, message):
    with pytest.raises(RecipeError, match=message):
        called(data, "--data", ("forget", "retain"))


def test_what_a_function_gives_is_passed_on(tmp_path, monkeypatch):
    (tmp_path / "gives_of_a_user.py").write_text("def sets():\n    return {'forget': 3, 'more': 4}\n")
    monkeypatch.chdir(tmp_path)
    assert called("gives_of_a_user:sets", "--data", ("forget",)) == {"forget": 3, "more": 4}
