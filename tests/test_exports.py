"""What the package offers by name: the same to Python, to editors and to whoever asks for a list."""

import importlib
import json
import pydoc
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import ungrok
from ungrok import _exports
from ungrok.methods import UNLEARNERS

METHODS = {UNLEARNERS.get(name) for name in UNLEARNERS.names() if UNLEARNERS.get(name).__module__.startswith("ungrok.")}


def test_the_stub_is_what_the_generator_gives():
    stub = Path(ungrok.__file__).with_name("__init__.pyi").read_text(encoding="utf-8")
    assert stub == _exports.stub(), "run python -m ungrok._exports"


@pytest.mark.parametrize("name", _exports.places())
def test_every_name_is_what_its_module_defines(name):
    assert getattr(ungrok, name) is getattr(importlib.import_module(_exports.places()[name]), name)
    assert name in dir(ungrok)


def test_every_method_is_offered_under_its_class_name():
    assert len(METHODS) >= 35
    assert {getattr(ungrok, cls.__name__) for cls in METHODS} == METHODS


def test_what_is_not_there():
    with pytest.raises(AttributeError, match="module 'ungrok' has no attribute 'SCRUBB'"):
        _ = ungrok.SCRUBB


def test_the_version_is_that_of_the_installed_package():
    assert ungrok.__version__ == metadata.version("ungrok")


def test_help_shows_the_package():
    assert "Machine unlearning as a function of when" in pydoc.render_doc(ungrok)


def imported(code):
    """Return the modules that are there after running some code."""
    command = f"import sys, json\n{code}\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_imports_nothing_else():
    modules = imported("import ungrok\ndir(ungrok)\nungrok.__version__")
    assert {m for m in modules if m.startswith("ungrok")} == {
        "ungrok",
        "ungrok._exports",
        "ungrok.core",
        "ungrok.core.catalog",
        "ungrok.core.collector",
    }
    assert not modules & {"torch", "numpy", "pydantic"}


def test_unlearn_imports_neither_the_methods_nor_what_it_does_not_need():
    modules = imported("import ungrok\nungrok.unlearn")
    assert "torch" in modules
    assert not modules & {"sklearn", "scipy", "pandas", "datasets", "transformers", "matplotlib", "pyarrow"}
    assert not modules & {cls.__module__ for cls in METHODS}


def test_a_method_imports_itself_alone():
    modules = imported("import ungrok\nungrok.SCRUB")
    assert modules & {cls.__module__ for cls in METHODS} == {"ungrok.methods.scrub"}


def test_collection_of_garbage_is_as_it_was():
    imported("import gc, ungrok\nungrok.unlearn\nassert gc.isenabled()")
    imported("import gc, ungrok\ngc.disable()\nungrok.unlearn\nassert not gc.isenabled()")
