"""What every method that runs on language models promises, on a small Llama."""

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable
from ungrok.methods import UNLEARNERS, Iterative
from ungrok.models.language import Llama

NAMES = [name for name in UNLEARNERS.names() if "language" in UNLEARNERS.get(name).inputs]
V, EOS = 17, 1
OBJECTIVE = CausalLM(EOS)


@dataclass(frozen=True)
class Case:
    """What is promised of one method: the sets whose content may move the weights; settings that show it."""

    reads: set[str]
    settings: dict[str, Any] = field(default_factory=dict)


BOTH, FORGET, RETAIN = {"forget", "retain"}, {"forget"}, {"retain"}
CASES = {
    "alt_po": Case(BOTH),
    "amnesiac": Case(BOTH),
    "bad_teacher": Case(BOTH, {"share": 1.0}),
    "ce_u": Case(FORGET),
    "delete": Case(FORGET),
    "finetune": Case(RETAIN),
    "fisher": Case(RETAIN, {"alpha": (1e-06, 0.0001)}),
    "gradient_ascent": Case(FORGET),
    "gradient_difference": Case(BOTH),
    "idk_dpo": Case(BOTH),
    "influence": Case(BOTH, {"alpha": (1.0, 20.0)}),
    "kl_minimization": Case(BOTH),
    "l1_sparse": Case(RETAIN),
    "munba": Case(BOTH),
    "nabla_tau": Case(BOTH | {"validation"}),
    "neggrad_plus": Case(BOTH),
    "noisy_finetune": Case(RETAIN, {"weight_decay": 0.0, "gradient_clip": 1.0, "sigma": 0.02}),
    "npo": Case(BOTH),
    "output_perturbation": Case(RETAIN, {"sigma": 0.1}),
    "pdu": Case(BOTH, {"alpha": 1.0, "epsilon": 0.0, "dual_step": 0.1, "dual_warmup_epochs": 0}),
    "preference_optimization": Case(BOTH),
    "random_label": Case(BOTH),
    "retrain": Case(RETAIN),
    "rewind_to_delete": Case(set(), {"updates": 4}),
    "rmu": Case(BOTH),
    "salun": Case(BOTH),
    "sat_imp": Case(BOTH),
    "scrub": Case(BOTH),
    "simnpo": Case(BOTH),
    "ssd": Case(BOTH, {"alpha": (1.5, 0.7)}),
    "task_vector": Case(FORGET, {"alpha": (0.5, 1.0), "lr": 0.01, "epochs": 2}),
    "undial": Case(FORGET),
    "weight_attenuation": Case(RETAIN),
    "weight_distortion": Case(RETAIN),
    "weight_dropout": Case(RETAIN),
    "wga": Case(BOTH),
}


def test_the_table_holds_every_method():
    assert set(CASES) == set(NAMES)


def llama():
    return Llama(width=8, layers=2, heads=2, hidden=12, room=16).build((9,), V, 0)


def batches(seed, first, sizes=(3, 2), *, side="right", room=0, others=False):
    """Return batches of questions of 2 tokens and answers of 2 to 5 tokens and an end."""
    draw, made, index = torch.Generator().manual_seed(seed), [], first
    for n in sizes:
        lengths = torch.randint(5, 9, (n,), generator=draw).tolist()
        rows = [[*torch.randint(2, V, (k - 1,), generator=draw).tolist(), EOS] for k in lengths]
        length = max(lengths) + room
        ids, mask, labels = (torch.full((n, length), blank) for blank in (0, 0, -100))
        for i, row in enumerate(rows):
            start = length - len(row) if side == "left" else 0
            place = slice(start, start + len(row))
            ids[i, place], mask[i, place] = torch.tensor(row), 1
            labels[i, start + 2 : start + len(row)] = torch.tensor(row[2:])
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels, "index": torch.arange(index, index + n)}
        if others:
            batch |= {name: batches(seed + i, index, (n,))[0] for i, name in enumerate(("refusal", "alternate"), 50)}
        made.append(batch)
        index += n
    return made


def data(**changes):
    return {
        "forget": batches(1, 0, others=True, **changes),
        "retain": batches(2, 100, (3, 3), **changes),
        "validation": batches(3, 200, **changes),
    }


def unlearner(name, **changes):
    cls = UNLEARNERS.get(name)
    small = {"optimizer": "sgd", "lr": 0.05, "updates": 4} if issubclass(cls, Iterative) else {}
    return cls(**small | CASES[name].settings | changes)


def rewound(back):
    """Go back to the fresh model, and train it on retained data of its own."""
    model = llama()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    yield model
    for _ in range(back):
        for batch in batches(2, 100, (3, 3)):
            OBJECTIVE.mean(OBJECTIVE.losses(OBJECTIVE.logits(model, batch), batch), batch).backward()
        optimizer.step()
        yield model


def path_of(method, model, sets, seed=0):
    given = {"validation": sets["validation"], "factory": llama, "base": llama(), "rewound": rewound}
    return method.path(model, sets["forget"], sets["retain"], OBJECTIVE, **given, seed=seed)


def walk(method, model, sets, seed=0):
    return [{n: p.clone() for n, p in step.model.named_parameters()} for step in path_of(method, model, sets, seed)]


def trained():
    """Return a model that differs from the factory's and has learned something of both sets."""
    model, sets = llama(), data()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(10):
        for batch in sets["forget"] + sets["retain"]:
            optimizer.zero_grad()
            OBJECTIVE.mean(OBJECTIVE.losses(OBJECTIVE.logits(model, batch), batch), batch).backward()
            optimizer.step()
    model.zero_grad(set_to_none=True)
    return model


START = trained()


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_weights_change_and_the_model_handed_in_does_not(name):
    model = copy.deepcopy(START)
    path = walk(unlearner(name), model, data())
    start = dict(START.named_parameters())
    assert all(torch.equal(p, start[n]) for n, p in model.named_parameters())
    assert any(not torch.equal(value, start[n]) for n, value in path[-1].items())
    assert all(torch.isfinite(value).all() for value in path[-1].values())


def test_the_same_seed_gives_the_same_bytes_and_the_callers_state_stays(name):
    paths = []
    for caller in (1, 2):
        torch.manual_seed(caller)
        before = torch.get_rng_state()
        paths.append(walk(unlearner(name), START, data(), seed=3))
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[n], b[n]) for a, b in zip(*paths, strict=True) for n in a)


@pytest.mark.parametrize("change", [{"room": 4}, {"side": "left"}])
def test_padding_and_its_side_change_nothing(name, change):
    for a, b in zip(walk(unlearner(name), START, data()), walk(unlearner(name), START, data(**change)), strict=True):
        for n in a:
            torch.testing.assert_close(a[n], b[n], rtol=2e-3, atol=2e-4)


def test_which_data_move_the_weights(name):
    """Other examples of the same shape in the place of one set."""
    plain = walk(unlearner(name), START, data())
    others = {
        "forget": batches(31, 0, others=True),
        "retain": batches(32, 100, (3, 3)),
        "validation": batches(33, 200),
    }
    for role, other in others.items():
        moved = walk(unlearner(name), START, {**data(), role: other})
        same = all(torch.equal(a[n], b[n]) for a, b in zip(plain, moved, strict=True) for n in a)
        assert same == (role not in CASES[name].reads), role


def test_frozen_parameters_do_not_move(name):
    model = copy.deepcopy(START)
    frozen = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"]
    for key in frozen:
        model.get_parameter(key).requires_grad_(requires_grad=False)
    if UNLEARNERS.get(name).from_any_start:  # what was frozen after training is not covered by the noise
        with pytest.raises(NotApplicable, match=r"the frozen parameter .* is not that of base"):
            walk(unlearner(name), model, data())
        return
    path = walk(unlearner(name), model, data())
    assert all(torch.equal(path[-1][key], START.get_parameter(key)) for key in frozen)


@pytest.mark.parametrize("name", sorted(set(UNLEARNERS.names()) - set(NAMES)))
def test_methods_for_classifiers_are_refused(name):
    sets = data()
    with pytest.raises(NotApplicable, match=f"{name} runs on classifier models only, not on a language model"):
        path_of(UNLEARNERS.get(name)(), llama(), sets)
