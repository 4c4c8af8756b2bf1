"""The command that deletes examples from a model of the user's and keeps a record, or runs a recorded deletion again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ungrok.cli.options import nameable, new_model, settings_of, writable
from ungrok.core.errors import RecipeError, first_line, shown, shown_file
from ungrok.core.plain import parse_yaml

if TYPE_CHECKING:
    from ungrok.audits.base import StressTest


NO_ATTACK = "none"

MODEL = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL",
        callback=nameable,
        help="Weights (.safetensors, .pt) of the model that --data gives, or a folder of transformers.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings of the method, for instance lr=1e-3 epochs=5."),
]
Data = Annotated[
    str | None,
    typer.Option(help="module:function, which returns a dict: train and test, or forget, retain and test; model."),
]
Indices = Annotated[
    Path | None,
    typer.Option(
        callback=nameable, help="File of what is to go: indices into train, as a JSON list or one a line, or keys."
    ),
]
Attack = Annotated[
    list[str] | None,
    typer.Option(
        help="Name of an attack, or '{kind: relearn, updates: 50}'; may be given several times; none for no attack."
    ),
]


def delete(
    model: MODEL = None,
    settings: Settings = None,
    data: Data = None,
    forget: Indices = None,
    method: Annotated[str | None, typer.Option(help="Name of a method; see ungrok list methods.")] = None,
    record: Annotated[Path | None, typer.Option(callback=nameable, help="Where the record goes, as JSON.")] = None,
    out: Annotated[
        Path | None, typer.Option(callback=nameable, help="Where the new model goes; default: MODEL-METHOD.")
    ] = None,
    attack: Attack = None,
    key: Annotated[
        Path | None, typer.Option(callback=nameable, help="File with the secret under which examples are hashed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    verify: Annotated[
        Path | None, typer.Option(callback=nameable, help="A record: run the deletion again and compare; needs --data.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Of --verify on another machine: by how much shares may differ; 0.01.")
    ] = None,
) -> None:
    """Delete examples from your own model and keep a checked record.

    With --verify, what the record says of MODEL and --forget holds where they are not given; a function is called only if --data names it.
    """
    if verify is not None:
        given = {"--method": method, "--record": record, "--out": out, "--attack": attack, "KEY=VALUE": settings}
        for name in (name for name, value in given.items() if value):
            raise RecipeError(f"{name}: does not go with --verify; the record says it")
        _verify(verify, model, data, forget, _key(key), tolerance)
        return
    if tolerance is not None:
        raise RecipeError("--tolerance: goes with --verify")
    if model is None or data is None or method is None or record is None:
        needed = {"MODEL": model, "--data": data, "--method": method, "--record": record}
        raise RecipeError(f"{next(name for name, value in needed.items() if value is None)}: is missing")
    target = new_model(model, method, out)
    writable(record, "--record")
    from ungrok.deletion.inputs import checked
    from ungrok.deletion.opening import opened
    from ungrok.deletion.record import Place
    from ungrok.deletion.run import kept
    from ungrok.methods.run import make_method

    chosen = make_method(method, settings_of(settings or []))
    attacks = [_attack(text) for text in attack if text != NO_ATTACK] if attack else None
    inputs = checked(**opened(model, data, forget), key=_key(key), source=model, seed=seed)
    place = Place(model=str(model), data=data, forget=str(forget) if forget else None)
    deletion = kept(inputs, chosen, inputs.tests(attacks), record=record, out=target, place=place)
    for line in (deletion, target, record):
        typer.echo(line)


def _verify(
    file: Path, model: Path | None, data: str | None, forget: Path | None, key: bytes | None, tolerance: float | None
) -> None:
    from ungrok.deletion.compare import TOLERANCE
    from ungrok.deletion.opening import opened
    from ungrok.deletion.record import read_record
    from ungrok.deletion.verify import verify

    record = read_record(file)
    place = record.place
    if place is None and (model is None or data is None):
        raise RecipeError(
            f"--verify: {shown_file(file)} was made in Python; use ungrok.verify, or give MODEL and --data"
        )
    if data is None and place is not None:
        raise RecipeError(
            f"--data: is missing; {shown_file(file)} names {shown(place.data)}, which is imported and called only if you give it yourself"
        )
    if place is not None:
        model = model or Path(place.model)
        forget = forget or (Path(place.forget) if place.forget else None)
    assert model is not None
    assert data is not None
    allowed = TOLERANCE if tolerance is None else tolerance
    outcome = verify(record, **opened(model, data, forget), key=key, source=model, tolerance=allowed)
    typer.echo(outcome)
    if place is not None and data != place.data:
        typer.echo(f"--data: {data} was called; the record names {place.data}.")
    if not outcome.passed:
        raise typer.Exit(1)


def _attack(text: str) -> str | StressTest:
    """Return an attack given by name, or as a block of settings with its kind."""
    from ungrok.audits.base import STRESS_TESTS

    block = parse_yaml(text, "--attack")
    if not isinstance(block, dict):
        return text
    if "kind" not in block:
        raise RecipeError("--attack: kind is missing; it names the attack")
    return STRESS_TESTS.get(str(block["kind"]))(**block)


def _key(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes().strip()
    except OSError as error:
        raise RecipeError(f"--key: {shown_file(file)} cannot be read ({first_line(error)})") from None
