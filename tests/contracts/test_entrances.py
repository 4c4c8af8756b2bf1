"""Every way in takes the same models and data: right, or refused in one sentence, and the caller's things untouched."""

import random
from collections import OrderedDict
from functools import cache
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset
from transformers import GPT2Config, GPT2LMHeadModel

from ungrok import Prune, Relearn, unlearning_path
from ungrok import attack as run_attack
from ungrok import audit as run_audit
from ungrok import unlearn as run_unlearn
from ungrok.analyze import ANALYSES, Subject
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.modules import bare
from ungrok.core.objective import Classification

CLASSES, SIZE, ROLES = 3, 4, ("forget", "retain", "test")

DRAW = torch.Generator().manual_seed(0)
IMAGES = {role: torch.randn(10, 2, 4, 4, generator=DRAW) for role in ROLES}
LABELS = {role: torch.arange(10) % CLASSES for role in ROLES}


class Net(nn.Module):
    """A small network whose output comes in one of several forms."""

    def __init__(self, output="tensor"):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3))
        self.output, self.kept = output, None

    def forward(self, pixel_values):
        logits = self.body(pixel_values)
        self.kept = logits  # as a model that shows its last activation
        if self.output == "object":
            return SimpleNamespace(logits=logits)
        return {"tensor": logits, "dict": OrderedDict(loss=None, logits=logits), "tuple": (logits, None)}[self.output]


def network(seed, dtype, output="tensor"):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Net(output)
        model.body[1].running_mean.normal_()
    return model.to(dtype).train()


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


class Stream(IterableDataset):
    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


WRAPPERS = {
    "none": lambda model: model,
    "parallel": nn.DataParallel,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "both": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
    "turned": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
}
SHAPES = {
    "row": lambda y: y,
    "column": lambda y: y[:, None],
    "one_hot": lambda y: nn.functional.one_hot(y, CLASSES),
    "out_of_range": lambda y: y + 1,
}
FORMS = {
    "tuple": lambda x, y: (x, y),
    "list": lambda x, y: [x, y],
    "indexed": lambda x, y: (x, y, torch.arange(len(y)) + 10 * int(x.flatten()[0] * 1e4)),
    "named": lambda x, y: {"pixel_values": x, "labels": y},
    "named_and_more": lambda x, y: {
        "pixel_values": x,
        "label": y,
        "image_id": torch.arange(len(y)),
        "source": ["a"] * len(y),
    },
    "inputs_by_name": lambda x, y: ({"pixel_values": x}, y),
    "unknown_name": lambda x, y: {"pixels": x, "labels": y},
    "weighted": lambda x, y: (x, y, torch.ones(len(y))),
    "alone": lambda x, y: (x,),
    "numpy": lambda x, y: (x.float().numpy(), y.long().numpy()),
}
CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "loader": lambda batches: DataLoader(Rows(batches), batch_size=None),
    "stream": lambda batches: DataLoader(Stream(batches), batch_size=None),
    "subset": lambda batches: DataLoader(Subset(Rows(batches), torch.arange(len(batches))), batch_size=None),
    "iterator": iter,
    "bare": lambda batches: batches[0],
    "nothing": lambda batches: batches[:0],
}


def sets(case):
    made = {}
    for role in ROLES:
        x = IMAGES[role].to(case["inputs"], copy=True)
        if case["format"] == "channels_last":
            x = x.to(memory_format=torch.channels_last)
        if case["broken"]:
            x[3] = float("nan")
        y = SHAPES[case["shape"]](LABELS[role]).to(case["targets"])
        batches = [FORMS[case["form"]](a, b) for a, b in zip(x.split(SIZE), y.split(SIZE), strict=True)]
        made[role] = CONTAINERS[case["container"]](batches)
    return made


def plain(case):
    inputs = {role: IMAGES[role].to(case["inputs"]).to(case["weights"]) for role in ROLES}
    return {role: list(zip(inputs[role].split(SIZE), LABELS[role].split(SIZE), strict=True)) for role in ROLES}


def unlearn(model, sets):
    result = run_unlearn(model, forget=sets["forget"], retain=sets["retain"], method="scrub", epochs=1, lr=0.1)
    assert type(result) is type(model)
    return list(bare(result).state_dict().values())


def walk(model, sets):
    path = unlearning_path(model, forget=sets["forget"], method="gradient_ascent", epochs=1, lr=0.1)
    return [tensor.clone() for step in path for tensor in bare(step.snapshot()).state_dict().values()]


def audit(model, sets):
    with patch("ungrok.evaluate.membership.membership", return_value=None):  # attackers take most of the time
        found = run_audit(model, network(1, next(model.parameters()).dtype), **sets, oracle=model)
    numbers = [*found.accuracies["original"].values(), *found.accuracies["unlearned"].values()]
    return [torch.tensor(value) for value in (*numbers, *found.distances["original"].values())]


TESTS = [Relearn(updates=2, lr=0.1, shares=0.3, batch=8), Prune(shares=0.5)]


def attack(model, sets):
    report = run_attack(model, **sets, original=network(1, next(model.parameters()).dtype), attacks=TESTS)
    numbers = ("UA", "RA", "TA", "forget_loss", "retain_loss")
    return [torch.tensor(row[name]) for row in report.rows for name in numbers]


def analyze(model, sets):
    readings = ANALYSES.parse({"kind": "gradient_alignment", "draws": 2}).measure(
        Subject(model, Classification(), sets)
    )
    return [torch.tensor(float("nan") if one.value is None else one.value) for one in readings]


ENTRANCES = {"unlearn": unlearn, "walk": walk, "audit": audit, "attack": attack, "analyze": analyze}


def is_legitimate(entrance, case):
    return (
        case["targets"] not in {torch.float32, torch.bool}
        and case["shape"] in {"row", "column"}
        and case["form"] in {"tuple", "list", "indexed", "named", "named_and_more", "inputs_by_name"}
        and case["inputs"] == case["weights"]
        and case["output"] != "tuple"
        and case["container"] not in {"bare", "nothing"}
        and (case["container"] != "iterator" or entrance in {"audit", "attack"})
        and not case["broken"]
    )


def caller(model):
    parts = list(model.modules())
    inner = bare(model)
    return (
        {name: value.clone() for name, value in inner.state_dict().items()},
        [part.training for part in parts],
        [(p.requires_grad, p.grad if p.grad is None else p.grad.clone()) for p in inner.parameters()],
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1:3],  # noqa: NPY002
    )


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def outcome(entrance, *given):
    """Return the results or the sentence; any other exception is a failure."""
    try:
        return entrance(*given), None
    except (RecipeError, NotApplicable) as error:
        message = str(error)
    assert len(message) < 400
    assert "\n" not in message
    return None, message


COMMON = {
    "targets": [torch.int64],
    "shape": ["row"],
    "form": ["tuple", "named"],
    "container": ["list", "loader"],
    "inputs": [torch.float32],
    "weights": [torch.float32],
    "output": ["tensor", "dict"],
    "format": ["contiguous"],
    "broken": [False],
    "wrapper": ["none"],
}
ALL = {
    "targets": [torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool, torch.float32],
    "shape": [*SHAPES],
    "form": [*FORMS],
    "container": [*CONTAINERS],
    "inputs": [torch.float32, torch.float64, torch.bfloat16, torch.uint8],
    "weights": [torch.float32, torch.float64, torch.bfloat16],
    "output": ["tensor", "object", "dict", "tuple"],
    "format": ["contiguous", "channels_last"],
    "broken": [False, True],
    "wrapper": [*WRAPPERS],
}


@st.composite
def cases(draw):
    """Draw a case that is unusual in at most three ways: one that is so in every way is always refused."""
    unusual = draw(st.lists(st.sampled_from(sorted(ALL)), max_size=3))
    case = {name: draw(st.sampled_from((ALL if name in unusual else COMMON)[name])) for name in ALL}
    if draw(st.booleans()):
        case["inputs"] = case["weights"]
    case["broken"] &= case["inputs"].is_floating_point
    return case


@pytest.mark.parametrize("entrance", ENTRANCES)
@settings(max_examples=50, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases(), frozen=st.booleans())
def test_right_or_refused_and_the_caller_untouched(entrance, case, frozen):
    model = WRAPPERS[case["wrapper"]](network(0, case["weights"], case["output"]))
    bare(model).body[1].eval()
    bare(model).body[0].bias.requires_grad_(not frozen)
    bare(model).body[4].bias.grad = torch.ones_like(bare(model).body[4].bias)
    data, before = sets(case), caller(model)
    results, message = outcome(ENTRANCES[entrance], model, data)
    assert not (message and is_legitimate(entrance, case)), message
    if results is not None:
        other = network(0, case["weights"])
        other.body[1].eval()
        other.body[0].bias.requires_grad_(not frozen)
        expected = ENTRANCES[entrance](other, plain(case))
        assert len(results) == len(expected) > 5
        for ours, theirs in zip(results, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, equal_nan=True)
    after = caller(model)
    assert [same(a, b) for a, b in zip(before, after, strict=True)] == [True] * len(before)


TEXTS = {role: [torch.randint(1, 20, (n,), generator=DRAW) for n in (7, 3, 5, 4)] for role in ROLES}
GPT2 = GPT2Config(
    vocab_size=20,
    n_positions=16,
    n_embd=8,
    n_layer=2,
    n_head=2,
    attn_pdrop=0.0,
    embd_pdrop=0.0,
    resid_pdrop=0.0,
    bos_token_id=0,
    eos_token_id=0,
)
CHANGES = {
    "none": lambda batch: batch,
    "metadata": lambda batch: (
        batch | {"epoch": 3, "texts": ["a"] * len(batch["labels"]), "about": {"of": "rows"}, "sizes": [1, 2]}
    ),
    "int32": lambda batch: {key: value.int() for key, value in batch.items()},
    "bool_mask": lambda batch: batch | {"attention_mask": batch["attention_mask"].bool()},
    "no_mask": lambda batch: {key: value for key, value in batch.items() if key != "attention_mask"},
    "no_labels": lambda batch: {key: value for key, value in batch.items() if key != "labels"},
    "no_answers": lambda batch: batch | {"labels": torch.full_like(batch["labels"], -100)},
    "lists": lambda batch: {key: value.tolist() for key, value in batch.items()},
    "floats": lambda batch: {key: value.float() for key, value in batch.items()},
    "vocabulary": lambda batch: batch | {"input_ids": batch["input_ids"] + 15},
    "pair": lambda batch: (batch["input_ids"], batch["labels"]),
    "index_of_floats": lambda batch: batch | {"index": torch.full((len(batch["labels"]),), 0.5)},
}
READ = {"none", "metadata", "int32", "bool_mask"}


def language_model(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GPT2LMHeadModel(GPT2).eval()


def padded(rows, side):
    length = max(map(len, rows))
    ids, mask, labels = torch.zeros(len(rows), length).long(), torch.zeros(len(rows), length).long(), None
    for i, row in enumerate(rows):
        place = slice(length - len(row), length) if side == "left" else slice(len(row))
        ids[i, place], mask[i, place] = row, 1
    labels = torch.where(mask == 1, ids, -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def texts(side="right", change="none", container="list"):
    batches = {
        role: [CHANGES[change](padded(rows[:2], side)), CHANGES[change](padded(rows[2:], side))]
        for role, rows in TEXTS.items()
    }
    return {role: CONTAINERS[container](parts) for role, parts in batches.items()}


def unlearn_texts(model, sets, objective):
    given = {"forget": sets["forget"], "retain": sets["retain"], "objective": objective}
    result = run_unlearn(model, **given, method="npo", epochs=2, lr=0.1, optimizer="sgd")
    return list(bare(result).state_dict().values())


def audit_texts(model, sets, objective):
    found = run_audit(model, language_model(1), **sets, objective=objective)
    numbers = [*found.memorization["original"].values(), *found.distances["original"].values()]
    return [torch.tensor(value) for value in numbers]


def attack_texts(model, sets, objective):
    report = run_attack(model, **sets, original=language_model(1), objective=objective, attacks=[*TESTS, "extract"])
    return [torch.tensor(row["RA"]) for row in report.rows]


def analyze_texts(model, sets, objective):
    made = ANALYSES.parse({"kind": "gradient_alignment", "draws": 2})
    readings = made.measure(Subject(model, objective or CausalLM(), sets))
    return [torch.tensor(float("nan") if one.value is None else one.value) for one in readings]


@cache
def usual_of_texts(entrance):
    """Return what an entrance makes of the plain model and texts."""
    return entrance(language_model(0), texts(), CausalLM(0))


@pytest.mark.parametrize("entrance", [unlearn_texts, audit_texts, attack_texts, analyze_texts])
@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    side=st.sampled_from(["left", "right"]),
    change=st.sampled_from(sorted(CHANGES)),
    container=st.sampled_from(["list", "loader", "stream"]),
    wrapper=st.sampled_from(sorted(WRAPPERS)),
    objective=st.sampled_from([None, CausalLM(0)]),
)
def test_texts_are_right_or_refused(entrance, side, change, container, wrapper, objective):
    model = WRAPPERS[wrapper](language_model(0))
    before = caller(model)
    results, message = outcome(entrance, model, texts(side, change, container), objective)
    assert (results is not None) == (change in READ), message
    if results is not None:
        expected = usual_of_texts(entrance)
        assert len(results) == len(expected) > 5
        for ours, theirs in zip(results, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5, equal_nan=True)
    assert [same(a, b) for a, b in zip(before, caller(model), strict=True)] == [True] * len(before)
