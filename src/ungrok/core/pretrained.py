"""The one way in which files of models and tokenizers are opened: whole and as described, or refused by name."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ungrok.core.errors import RecipeError, UngrokError, UngrokWarning
from ungrok.core.files import local_path

INDEX = "model.safetensors.index.json"
OBJECTS = ("config.json", "generation_config.json", INDEX)
"""Files of a model that hold a JSON object, where they are there."""
TOKENIZER_OBJECTS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json")


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn whatever a library raises on a user's file into a RecipeError that begins with ``what``.

    Raises:
        RecipeError: Instead of any exception but our own and those that end the program.

    """
    try:
        yield
    except UngrokError:
        raise
    except BaseException as error:
        # Rust's panic is no Exception, but a failure like any other.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise RecipeError(f"{what} ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    """Return in at most 160 characters what an error says, with its type where that is needed to understand it."""
    said = " ".join(str(error).split())
    plain = isinstance(error, OSError | ValueError | RuntimeError | ImportError)
    text = said if plain and said else f"{type(error).__name__}: {said}".rstrip(": ")
    return text if len(text) <= 160 else f"{text[:159]}…"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and from printing reports: what matters of them is an error here."""
    from transformers.utils import logging as log

    logging: Any = log
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _check_object(key: str, path: Path) -> dict[str, Any]:
    with refusing(f"{key}: {path} is no JSON"):
        content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise RecipeError(f"{key}: {path} holds no JSON object")
    return content


def _check_files(key: str, folder: Path) -> None:
    """Raise RecipeError unless the files of a local model are whole, and none of them is needed that is not there."""
    objects = {name: _check_object(key, folder / name) for name in OBJECTS if (folder / name).exists()}
    if "config.json" not in objects and not (folder / "adapter_config.json").exists():
        raise RecipeError(f"{key}: '{folder}' is no folder with a model; it has no config.json")
    if INDEX in objects:
        parts = objects[INDEX].get("weight_map")
        files = (
            set(parts.values()) if isinstance(parts, dict) and all(isinstance(v, str) for v in parts.values()) else ()
        )
        if not files or "metadata" not in objects[INDEX]:
            wanted = "metadata, and weight_map from the names of weights to those of files"
            raise RecipeError(f"{key}: {folder / INDEX} is no index of files; wanted: {wanted}")
        missing = sorted(name for name in files if not (folder / name).is_file())
        if missing:
            raise RecipeError(f"{key}: {folder / INDEX} names {missing[0]}, which is not there")
    weights = sorted(folder.glob("*.safetensors"))
    pickled = sorted(folder.glob("*.bin"))
    if pickled and not weights:
        raise RecipeError(
            f"{key}: {pickled[0]} holds pickled weights, which can run code when they are opened; allowed: safetensors "
            "(save_pretrained writes it)"
        )
    from safetensors import safe_open

    for path in weights:
        with refusing(f"{key}: {path} is damaged, or no safetensors file"), safe_open(path, "pt") as held:
            names = [name for name in held.keys() if name.endswith((".weight", ".bias"))]  # noqa: SIM118 (not iterable)
            types = {name: held.get_slice(name).get_dtype() for name in names}
        whole = sorted(name for name, dtype in types.items() if dtype.startswith(("BOOL", "I", "U")))
        if whole and "quantization_config" not in objects.get("config.json", {}):
            raise RecipeError(f"{key}: {path} holds {whole[0]} as {types[whole[0]]}; wanted: floating-point numbers")


def check_model(path: str, revision: str | None = None) -> None:
    """Raise RecipeError unless a model can be opened with every weight that it needs; no weights are read.

    Args:
        path: Hub id or local folder.
        revision: Commit, branch or tag on the hub.

    """
    local_path(path, "model.path")
    from transformers import AutoConfig, AutoModelForCausalLM

    causal: Any = AutoModelForCausalLM
    folder, options = Path(path), _options(path, revision)
    what = f"model.path: {path!r} is neither a folder with a model nor an id that the hub answers to"
    built = f"model.path: {path!r} has a configuration that describes no model that can be built"
    if folder.is_dir():
        _check_files("model.path", folder)
        what = built = f"model.path: {folder / 'config.json'} describes no model that can be built"
    with _quiet(), torch.random.fork_rng(devices=[]):
        if not folder.is_dir() or (folder / "config.json").exists():
            with refusing(what):
                config = AutoConfig.from_pretrained(path, **options)
            with refusing(built), torch.device("meta"):
                causal.from_config(config, trust_remote_code=False)
        with refusing(f"model.path: {path!r} cannot be opened"):
            _, info = causal.from_pretrained(
                path,
                **options,
                use_safetensors=True,
                device_map="meta",
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    _check_info(f"model.path: {path!r}", info)


def _options(path: str, revision: str | None) -> dict[str, Any]:
    pinned = {"revision": revision} if revision and not Path(path).is_dir() else {}
    return {"trust_remote_code": False, **pinned}


def _check_info(what: str, info: dict[str, Any]) -> None:
    """Raise RecipeError for weights that are missing or of another shape; warn of those that no part of the model takes."""
    if info["missing_keys"]:
        raise RecipeError(f"{what} lacks the weights {_some(info['missing_keys'])}")
    for name, given, wanted in sorted(info["mismatched_keys"]):
        shapes = f"{name} has shape {tuple(given)}; the configuration says {tuple(wanted)}"
        raise RecipeError(f"{what} does not hold the model of its configuration: {shapes}")
    if info["unexpected_keys"]:
        text = f"{what} holds weights that its configuration has no place for: {_some(info['unexpected_keys'])}"
        warnings.warn(text, UngrokWarning, stacklevel=3)


def _some(names: Iterable[str], most: int = 3) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def open_model(path: str, file: str | None, revision: str | None, dtype: torch.dtype) -> Any:
    """Return a causal language model with its weights; the random state is untouched.

    A GGUF file is read once per process and copied from then on: reading takes some ten seconds per 100 million weights.

    Args:
        path: Hub id or local folder.
        file: A GGUF file there; safetensors when None.
        revision: Commit, branch or tag on the hub.
        dtype: Precision of the weights.

    Raises:
        RecipeError: If a file is missing, damaged or pickled, the configuration describes no model, or weights are missing, of
            another shape, or not finite. The message names the file, or the folder and the weights.

    """
    if file is None:
        check_model(path, revision)
        return _load(f"model.path: {path!r}", path, dtype, _options(path, revision))
    local = _gguf("model.file", path, file)
    if local is None:
        return _load(f"model.file: {file!r} of {path!r}", path, dtype, _options(path, revision) | {"gguf_file": file})
    stat = local.stat()
    return copy.deepcopy(_of_gguf(str(local.absolute()), stat.st_size, stat.st_mtime_ns, dtype))


@lru_cache(maxsize=1)
def _of_gguf(path: str, size: int, changed: int, dtype: torch.dtype) -> Any:  # noqa: ARG001 (parts of the cache's key)
    folder, name = str(Path(path).parent), Path(path).name
    return _load(f"model.file: {path}", folder, dtype, _options(folder, None) | {"gguf_file": name})


def _gguf(key: str, path: str, file: str) -> Path | None:
    """Return the GGUF file of a local folder; None where ``path`` is an id of the hub.

    Raises:
        RecipeError: If the folder does not have it.

    """
    if not local_path(path, key).is_dir():
        return None
    if not local_path(str(Path(path, file)), key).is_file():
        there = ", ".join(sorted(entry.name for entry in Path(path).glob("*.gguf"))) or "none"
        raise RecipeError(f"{key}: {path!r} has no file {file!r}; GGUF files there: {there}")
    return Path(path, file)


def _load(what: str, path: str, dtype: torch.dtype, options: dict[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM

    causal: Any = AutoModelForCausalLM
    own = {} if "gguf_file" in options else {"use_safetensors": True}
    with _quiet(), refusing(f"{what} cannot be opened"), torch.random.fork_rng(devices=[]):
        model, info = causal.from_pretrained(path, dtype=dtype, output_loading_info=True, **options, **own)
    if own == {}:
        _check_info(what, info)
    broken = [name for name, weight in model.state_dict().items() if not torch.isfinite(weight).all()]
    if broken:
        raise RecipeError(f"{what} holds weights that are infinite or not a number in {dtype}: {_some(broken)}")
    return model


def open_tokenizer(name: str, file: str | None = None) -> Any:
    """Return a tokenizer of transformers.

    Args:
        name: Hub id or local folder.
        file: A GGUF file there; the tokenizer's own files when None.

    Raises:
        RecipeError: If a file is missing or damaged; the message names it.

    """
    local_path(name, "problem.tokenizer")
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    folder = Path(name)
    what = f"problem.tokenizer: {name!r} is neither a folder with a tokenizer nor an id that the hub answers to"
    if file is not None and (local := _gguf("problem.tokenizer_file", name, file)):
        what = f"problem.tokenizer_file: {local} holds no tokenizer that can be opened"
    elif folder.is_dir():
        for part in (*TOKENIZER_OBJECTS, "config.json"):
            if (folder / part).exists():
                _check_object("problem.tokenizer", folder / part)
        if (folder / "tokenizer.json").exists():
            with refusing(f"problem.tokenizer: {folder / 'tokenizer.json'} is no tokenizer"):
                Tokenizer.from_file(str(folder / "tokenizer.json"))
            what = f"problem.tokenizer: {folder / 'tokenizer_config.json'} does not fit tokenizer.json beside it"
    with _quiet(), refusing(what):
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False, **({"gguf_file": file} if file else {}))


def tokenizer_in(folder: Path) -> Any:
    """Return the tokenizer in a folder, None where there is none."""
    there = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    return open_tokenizer(str(folder)) if there else None
