"""What a package registers, read from its files."""

import subprocess
import sys

import pytest

from ungrok.core.catalog import Entry, entries

ONE = '''
@THINGS.register
class One:
    """The first.

    More of it.
    """

    kind: Literal["one"] = "one"


@OTHERS.register
class Other:
    kind: Literal["other"] = "other"


class Base:
    kind: str
'''
TWO = """
@THINGS.register
class Two(One):
    kind: Literal["a_two"] = "a_two"  # type: ignore[assignment]
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return the name of a package whose files cannot be imported."""
    folder = tmp_path / "catalogued"
    folder.mkdir()
    for name, text in {"__init__": "", "one": ONE, "two": TWO, "broken": "not python"}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    entries.cache_clear()
    yield folder
    entries.cache_clear()


@pytest.mark.usefixtures("package")
def test_a_class_is_told_by_kind_module_name_and_summary():
    registered = entries("catalogued", "THINGS.register")
    assert list(registered.items()) == [
        ("a_two", Entry("catalogued.two", "Two", "")),
        ("one", Entry("catalogued.one", "One", "The first.")),
    ]


def test_one_kind_twice(package):
    (package / "again.py").write_text(TWO, encoding="utf-8")
    with pytest.raises(ValueError, match=r"'a_two' is registered in catalogued.again and in catalogued.two"):
        entries("catalogued", "THINGS.register")


@pytest.mark.parametrize("name", ["ungrok.nothing", "ungrok.core.catalog"])
def test_what_is_no_package(name):
    with pytest.raises(ModuleNotFoundError, match="no package is called"):
        entries(name, "THINGS.register")


def test_reading_imports_nothing_heavy():
    code = (
        "import sys; from ungrok.core.catalog import entries; assert entries('ungrok.methods', 'UNLEARNERS.register');"
        "print(sorted({'torch', 'pydantic', 'numpy', 'ungrok.methods'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
