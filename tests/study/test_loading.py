"""Reading recipes: files, overrides, and keys by names that they had before."""

from __future__ import annotations

import pytest

from ungrok.core.errors import RecipeError
from ungrok.core.plain import parse_yaml
from ungrok.study.loading import find, load, shipped, to_yaml

ALONG = "{unlearn: gradient_ascent, forget: class, points: 4, seeds: 2}"


def test_a_recipe_is_found_by_name_or_path(tmp_path):
    assert find("digits") == shipped()["digits"]
    (tmp_path / "mine.yml").write_text("name: mine")
    assert find(str(tmp_path / "mine.yml")) == tmp_path / "mine.yml"
    with pytest.raises(RecipeError, match=r"no file 'nothing\.yaml'"):
        find("nothing.yaml")


def test_a_key_is_understood_by_its_earlier_name(tiny, tmp_path):
    new, old = tiny(f"along={ALONG}"), tiny(f"sweep={ALONG}")
    assert old == new
    assert "sweep" not in parse_yaml(to_yaml(old), "here")
    path = tmp_path / "old.yaml"
    path.write_text(to_yaml(new).replace("along:", "sweep:"))
    assert load(str(path)) == new
    assert load(str(path), ["sweep.points=5"]).along.points == load(str(path), ["along.points=5"]).along.points == 5
    assert load(str(path), ["along=null"]).along is None


def test_a_wrong_value_under_the_earlier_name_is_told_by_the_present_one(tiny):
    with pytest.raises(RecipeError, match=r"along\.points: 1 is not allowed"):
        tiny("sweep={unlearn: gradient_ascent, forget: class, points: 1}")


def test_both_names_at_once_are_refused(tiny, tmp_path):
    path = tmp_path / "both.yaml"
    path.write_text(to_yaml(tiny(f"along={ALONG}")) + f"sweep: {ALONG}\n")
    with pytest.raises(RecipeError, match="no such key 'sweep'"):
        load(str(path))


def test_recipes_keep_the_hashes_that_their_folders_are_named_by(tiny):
    assert tiny().hash == "d9b8d496"
    assert tiny(f"along={ALONG}").hash == "4e280a91"


def test_a_recipe_must_be_a_mapping(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(RecipeError, match="does not hold a mapping"):
        load(str(tmp_path / "list.yaml"))


def test_a_folder_may_have_the_letters_of_patterns_in_its_name(tiny, tmp_path):
    path = tmp_path / "pets[v2] *?" / "my.yaml"
    path.parent.mkdir()
    path.write_text(to_yaml(tiny()))
    assert load(str(path)) == tiny()


def test_a_mistake_names_the_file_and_says_whether_overrides_were_laid_over_it(tiny, tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text(to_yaml(tiny()).replace("width: 32", "width: 0"))
    with pytest.raises(RecipeError, match=r"my\.yaml: model\.width: 0 is not allowed"):
        load(str(path))
    with pytest.raises(RecipeError, match=r"my\.yaml with overrides: model\.width: -1 is not allowed"):
        load(str(path), ["model.width=-1"])
    with pytest.raises(RecipeError, match=r"^model\.width: -1 is not allowed"):
        load("digits", ["model.width=-1"])


@pytest.mark.parametrize("part", ["²", "01", "+1", "-1", "3", ""])
def test_an_entry_of_a_list_has_one_name(tiny, part):
    with pytest.raises(RecipeError, match=r"^unlearn\..* is not an entry; allowed: 0 to 2$"):
        tiny(f"unlearn.{part}.lr=1")
