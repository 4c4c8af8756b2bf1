"""Every method of language models against its formula, written as loops over hand-made logits."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification
from ungrok.core.seeds import derive, generator
from ungrok.methods import UNLEARNERS
from ungrok.methods.answers import contents, preference_loss

V = 9


class Block(nn.Module):
    """A block whose output is an embedding of the tokens."""

    def __init__(self, draw):
        super().__init__()
        self.state = nn.Parameter(torch.randn(V, 3, generator=draw))

    def forward(self, tokens):
        return self.state[tokens]


class Bigram(nn.Module):
    """Logits are a table's row for the last token; blocks stand beside it."""

    def __init__(self, seed=0, scale=1.5):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList([Block(draw), Block(draw)])
        self.table = nn.Parameter(torch.randn(V, V, generator=draw) * scale)
        self.calls = 0

    def forward(self, input_ids, attention_mask):
        self.calls += 1
        for layer in self.layers:
            layer(input_ids)
        return SimpleNamespace(logits=self.table[input_ids])


def batch(rows, first=0, others=None, pad=0):
    length = max(len(q) + len(a) for q, a in rows) + pad
    ids = torch.zeros(len(rows), length, dtype=torch.int64)
    mask, labels = ids.clone(), ids.clone() - 100
    for i, (q, a) in enumerate(rows):
        n = len(q) + len(a)
        ids[i, :n], mask[i, :n], labels[i, len(q) : n] = torch.tensor(q + a), 1, torch.tensor(a)
    made = {"input_ids": ids, "attention_mask": mask, "labels": labels, "index": torch.arange(first, first + len(rows))}
    return made | (others or {})


FORGET = [([1, 2], [3, 4, 8]), ([5], [6, 8]), ([7, 7], [1, 2, 3, 4, 8])]
RETAIN = [([2], [5, 5, 8]), ([3, 3, 3], [1, 8])]
REFUSALS = [(q, [2, 2, 8]) for q, _ in FORGET]
ALTERNATES = [([1, 2], [4, 4, 8]), ([5], [5, 5, 8]), ([7, 7], [2, 8])]


def data(pad=0):
    others = {"refusal": batch(REFUSALS, pad=pad), "alternate": batch(ALTERNATES, pad=2 * pad)}
    return [batch(FORGET, 0, others, pad)], [batch(RETAIN, 10, None, pad)]


def log_p(table, token):
    z = table[token].double()
    return z - torch.log(torch.exp(z).sum())


def tokens(rows):
    """Yield, per example, the (previous, next) pairs of its answer tokens."""
    for q, a in rows:
        whole = q + a
        yield [(whole[i - 1], whole[i]) for i in range(len(q), len(whole))]


def token_mean(rows, value):
    values = [value(before, after) for pairs in tokens(rows) for before, after in pairs]
    return sum(values) / len(values)


def sums(table, rows):
    return [sum(float(log_p(table, b)[a]) for b, a in pairs) for pairs in tokens(rows)]


def nll(table, rows):
    return token_mean(rows, lambda b, a: -float(log_p(table, b)[a]))


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def soft(table, before, target):
    return -float((target * log_p(table, before)).sum())


def slow_undial(t, t0):
    def value(b, a):
        z = t0[b].double().clone()
        z[a] -= 10
        return soft(t, b, torch.exp(z) / torch.exp(z).sum())

    return token_mean(FORGET, value)


def held_ce_u(t, h):
    """The target is another table's."""

    def value(b, a):
        p = torch.exp(h[b].double())
        p[a] = 0
        return soft(t, b, p / p.sum())

    return token_mean(FORGET, value)


def slow_divergence(t, t0, rows, temperature=1.0):
    """T²·KL of softened distributions, averaged over answer tokens."""

    def value(b, a):
        p0, p = (torch.log_softmax(x[b].double() / temperature, 0) for x in (t0, t))
        return float((p0.exp() * (p0 - p)).sum()) * temperature**2

    return token_mean(rows, value)


def slow_kl(t, t0):
    return -nll(t, FORGET) + slow_divergence(t, t0, RETAIN)


def slow_preference(rows, beta=0.1):
    def value(t, t0):
        better = [a - b for a, b in zip(sums(t, rows), sums(t0, rows), strict=True)]
        worse = [a - b for a, b in zip(sums(t, FORGET), sums(t0, FORGET), strict=True)]
        terms = (-2 / beta * log_sigmoid(beta * (x - y)) for x, y in zip(better, worse, strict=True))
        return mean(terms) + nll(t, RETAIN)

    return value


def slow_npo(t, t0):
    ratios = [a - b for a, b in zip(sums(t, FORGET), sums(t0, FORGET), strict=True)]
    return mean(-2 / 0.1 * log_sigmoid(-0.1 * r) for r in ratios) + nll(t, RETAIN)


def slow_simnpo(t, t0):
    per_token = [-s / len(a) for s, (_, a) in zip(sums(t, FORGET), FORGET, strict=True)]
    return 0.125 * mean(-2 / 4.5 * log_sigmoid(4.5 * x) for x in per_token) + nll(t, RETAIN)


def slow_margin(t):
    return token_mean(FORGET, lambda b, a: float(max(t[b].double()) - sum(t[b].double()) / V) ** 2)


def held(weight):
    """Return the weighted loss, its weights those of another table."""

    def value(t, h):
        at = lambda table, b, a: log_p(table, b)[a]  # noqa: E731
        return token_mean(FORGET, lambda b, a: weight(math.exp(at(h, b, a))) * float(at(t, b, a)))

    return value


SLOW = {
    "gradient_difference": lambda t, t0: -nll(t, FORGET) + nll(t, RETAIN),
    "kl_minimization": slow_kl,
    "preference_optimization": lambda t, t0: nll(t, REFUSALS) + nll(t, RETAIN),
    "idk_dpo": slow_preference(REFUSALS),
    "alt_po": slow_preference(ALTERNATES),
    "npo": slow_npo,
    "simnpo": slow_simnpo,
    "undial": slow_undial,
    "ce_u": lambda t, t0: held_ce_u(t, t),
    "pdu": lambda t, t0: slow_margin(t) + 100 * nll(t, RETAIN),
    "wga": lambda t, t0: held(lambda p: p)(t, t) + nll(t, RETAIN),
    "sat_imp": lambda t, t0: held(lambda p: p**5 * (1 - p))(t, t) + 0.1 * nll(t, RETAIN),
    "gradient_ascent": lambda t, t0: -nll(t, FORGET),
    "finetune": lambda t, t0: nll(t, RETAIN),
}
STEERED = ("rmu",)


def method(name, **changes):
    common = {"optimizer": "sgd", "lr": 0.1, "momentum": 0, "weight_decay": 0, "updates": 3}
    return UNLEARNERS.get(name)(**(common | changes))


def walk(name, pad=0, **changes):
    forget, retain = data(pad)
    model = Bigram()
    path = method(name, **changes).path(model, forget, retain, CausalLM(), seed=1)
    return [({n: p.detach().clone() for n, p in s.model.named_parameters()}, s.loss) for s in path]


@pytest.mark.parametrize("name", SLOW)
def test_losses_are_those_of_the_formula(name):
    """At the start, and after updates, when θ and θ0 differ."""
    start = Bigram().table.detach()
    before = start
    for weights, loss in walk(name):
        assert loss == pytest.approx(SLOW[name](before, start), abs=1e-6, rel=1e-6)
        before = weights["table"]
    assert not torch.equal(before, start)


RETAINING = {
    name: m.alpha
    for name in SLOW
    if "alpha" in (m := UNLEARNERS.get(name)()).model_fields_set | set(type(m).model_fields)
}


@pytest.mark.parametrize("name", [*RETAINING, *STEERED])
def test_every_retain_term_can_be_the_loss_or_the_divergence(name):
    """By their formula: with the one the slow loss, with the other the same with one term in the place of the other."""
    alpha = RETAINING.get(name) or 1.0
    start = Bigram().table.detach()
    losses = {}
    for term in ("nll", "kl"):
        before, differences = start, []
        steered = Bigram().layers[0].state.detach()
        for weights, loss in walk(name, retain_loss=term, alpha=alpha, lr=0.02, warmup_epochs=0):
            kept = nll(before, RETAIN) if term == "nll" else slow_divergence(before, start, RETAIN)
            forget = float((steered_states(steered, 2.0)).square().mean()) if name == "rmu" else None
            if forget is None:
                forget = SLOW[name](before, start) - RETAINING[name] * slow_retain(name, before, start)
            differences.append(float(loss) - forget - alpha * kept)
            before, steered = weights["table"], weights["layers.0.state"]
        losses[term] = differences
    assert losses == {term: pytest.approx([0.0] * 3, abs=2e-4) for term in ("nll", "kl")}


def slow_retain(name, t, t0):
    return slow_divergence(t, t0, RETAIN) if name == "kl_minimization" else nll(t, RETAIN)


def steered_states(h, length):
    return torch.stack([h[b] - length * direction("rmu") for pairs in tokens(FORGET) for b, _ in pairs])


def difference(f, table, eps=1e-3):
    """Return the gradient of a function of a table by central differences."""
    out = torch.zeros_like(table, dtype=torch.float64)
    for i in range(V):
        for j in range(V):
            up, down = table.double().clone(), table.double().clone()
            up[i, j] += eps
            down[i, j] -= eps
            out[i, j] = (f(up) - f(down)) / (2 * eps)
    return out


@pytest.mark.parametrize("name", sorted(set(SLOW) - {"ce_u", "wga", "sat_imp"}))
def test_the_second_update_follows_the_gradient_of_the_formula(name):
    """Methods with a target or weight held constant are left out: their loss is not what they descend."""
    start = Bigram().table.detach()
    (first, _), (second, _), _ = walk(
        name, lr=0.5, **({"warmup_epochs": 0} if name not in ("gradient_ascent", "finetune") else {})
    )
    gradient = difference(lambda t: SLOW[name](t, start), first["table"])
    torch.testing.assert_close(second["table"].double(), first["table"].double() - 0.5 * gradient, rtol=1e-4, atol=1e-5)


HELD = {
    "ce_u": held_ce_u,
    "wga": lambda t, h: held(lambda p: p)(t, h) + nll(t, RETAIN),
    "sat_imp": lambda t, h: held(lambda p: p**5 * (1 - p))(t, h) + 0.1 * nll(t, RETAIN),
}


@pytest.mark.parametrize("name", HELD)
def test_targets_and_weights_are_held_constant(name):
    (first, _), (second, _), _ = walk(name, lr=0.5, warmup_epochs=0)
    gradient = difference(lambda t: HELD[name](t, first["table"]), first["table"])
    torch.testing.assert_close(second["table"].double(), first["table"].double() - 0.5 * gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*SLOW, *STEERED])
def test_padding_changes_nothing(name):
    for (plain, a), (padded, b) in zip(walk(name), walk(name, pad=5), strict=True):
        assert a == b
        assert all(torch.equal(plain[n], padded[n]) for n in plain)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("name", sorted({*SLOW, *STEERED}))
def test_parts_of_a_batch_change_nothing(name, size):
    for (whole, a), (parts, b) in zip(walk(name), walk(name, micro_batch=size), strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)
        for n in whole:
            torch.testing.assert_close(whole[n], parts[n], rtol=1e-5, atol=1e-6)


def test_rmu_steers_one_block_and_trains_up_to_it():
    (weights, loss), *_ = walk("rmu", coefficient=4.0, layer=1)
    start = Bigram()
    h = start.layers[0].state.detach()
    states = torch.stack([h[b] for pairs in tokens(FORGET) for b, _ in pairs])
    assert loss == pytest.approx(float((states - 4.0 * direction("rmu")).square().mean()), rel=1e-6)
    assert not torch.equal(weights["layers.0.state"], h)
    assert torch.equal(weights["layers.1.state"], start.layers[1].state)
    assert torch.equal(weights["table"], start.table)


def test_rmu_holds_retain_states_where_they_were():
    """At the second update, when they have moved; α weighs the term."""
    (first, _), (_, loss), _ = walk("rmu", coefficient=4.0, layer=1, alpha=0.7, lr=5.0, warmup_epochs=0)
    start, h = Bigram().layers[0].state.detach(), first["layers.0.state"]
    away = torch.stack([h[b] - 4.0 * direction("rmu") for pairs in tokens(FORGET) for b, _ in pairs])
    moved = torch.stack([h[b] - start[b] for pairs in tokens(RETAIN) for b, _ in pairs])
    assert moved.square().mean() > 1e-3
    assert loss == pytest.approx(float(away.square().mean() + 0.7 * moved.square().mean()), rel=1e-5)


def direction(kind):
    u = torch.rand(3, generator=generator(derive(1, kind), "direction"))
    return u / u.norm()


def test_rmu_names_a_layer_that_is_not_there():
    with pytest.raises(RecipeError, match="layer 3 is not in the model; allowed: 1 to 2"):
        walk("rmu", layer=3)


@pytest.mark.parametrize(
    ("name", "passes"),
    [("kl_minimization", 1), ("undial", 1), ("npo", 1), ("idk_dpo", 2), ("alt_po", 2), ("rmu", 1), ("wga", 0)],
)
def test_the_reference_runs_once_over_each_example(name, passes):
    forget, retain = data()
    model = Bigram()
    for made, updates in ((method(name, updates=1), 1), (method(name, updates=6), 6)):
        model.calls = 0
        list(made.path(model, forget, retain, CausalLM()))
        inspected = 2 if made.alpha else 1  # the first look at each set checks its shapes with one pass
        assert model.calls == inspected + passes, (name, updates)


@pytest.mark.parametrize(
    ("name", "changes"), [("scrub", {"msteps": 9}), ("delete", {}), ("bad_teacher", {"share": 1.0})]
)
def test_the_teachers_of_shared_methods_run_once_over_each_example(name, changes):
    forget, retain = data()
    calls = []
    for updates in (2, 8):
        model, fresh = Bigram(), Bigram(3)
        list(
            method(name, updates=updates, **changes).path(model, forget, retain, CausalLM(), factory=lambda m=fresh: m)
        )
        calls.append((model.calls, fresh.calls))
    assert calls[0] == calls[1], name
    assert calls[0][0] <= 4  # a look at each set, and a pass over each


def test_passes_that_do_not_fit_are_made_again(monkeypatch):
    forget, retain = data()
    monkeypatch.setattr("ungrok.methods.answers.KEPT_BYTES", 0)
    model = Bigram()
    losses = [s.loss for s in method("npo", updates=5).path(model, forget, retain, CausalLM())]
    assert model.calls == 2 + 5
    monkeypatch.undo()
    assert losses == [s.loss for s in method("npo", updates=5).path(Bigram(), forget, retain, CausalLM())]


def test_scrub_on_tokens():
    """Up on the forget tokens, then down on the retain tokens, beside their own loss."""
    start, before, updates = Bigram().table.detach(), Bigram().table.detach(), []
    for weights, loss in walk("scrub", lr=0.5, updates=4, msteps=9, temperature=2.0, alpha=0.3, gamma=0.7):
        updates.append((loss, before))
        before = weights["table"]
    assert len(updates) == 4
    for place, (loss, table) in enumerate(updates):
        up = -slow_divergence(table, start, FORGET, 2.0)
        down = 0.7 * nll(table, RETAIN) + 0.3 * slow_divergence(table, start, RETAIN, 2.0)
        assert loss == pytest.approx(up if place % 2 == 0 else down, abs=1e-6, rel=1e-5)


def test_bad_teacher_on_tokens():
    """The original's opinion on retain and the random teacher's on forget, averaged over all tokens of both."""
    forget, retain = data()
    made = method("bad_teacher", lr=0.5, updates=3, share=1.0, temperature=2.0)
    start, random, before = Bigram().table.detach(), Bigram(3).table.detach(), Bigram().table.detach()
    count = [sum(map(len, tokens(rows))) for rows in (RETAIN, FORGET)]
    steps = 0
    for step in made.path(Bigram(), forget, retain, CausalLM(), factory=lambda: Bigram(3), seed=1):
        steps += 1
        parts = slow_divergence(before, start, RETAIN, 2.0), slow_divergence(before, random, FORGET, 2.0)
        expected = sum(part * n for part, n in zip(parts, count, strict=True)) / sum(count)
        assert step.loss == pytest.approx(expected, abs=1e-6, rel=1e-5)
        before = step.model.table.detach().clone()
    assert steps == 3


def test_without_an_index_the_reference_runs_every_time():
    forget, retain = ([{k: v for k, v in b.items() if k != "index"} for b in part] for part in data())
    model = Bigram()
    list(method("npo", updates=5).path(model, forget, retain, CausalLM()))
    assert model.calls == 2 + 5


@pytest.mark.parametrize(
    ("name", "missing"), [("preference_optimization", "refusal"), ("idk_dpo", "refusal"), ("alt_po", "alternate")]
)
def test_answers_that_are_missing_are_named(name, missing):
    forget, retain = data()
    bare = [{k: v for k, v in forget[0].items() if k != missing}]
    with pytest.raises(NotApplicable, match=f"{name}: forget batches carry no '{missing}'"):
        list(method(name).path(Bigram(), bare, retain, CausalLM()))


@pytest.mark.parametrize("name", sorted({*SLOW, *STEERED} - {"gradient_ascent", "finetune"}))
def test_classifiers_are_refused_before_any_work(name):
    pair = (torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(NotApplicable, match=f"{name} runs on language models only, not on a classifier model"):
        method(name).path(nn.Linear(2, 2), [pair], [pair], Classification())


@pytest.mark.parametrize(("margin", "beta", "expected"), [(0.0, 0.1, 20 * math.log(2)), (math.log(3), 1.0, 0.575364)])
def test_preference_loss_by_hand(margin, beta, expected):
    """−(2/β)·log σ(β·margin): σ(0) = 1/2, and σ(log 3) = 3/4, whose −2·log is 0.575364."""
    assert preference_loss(torch.tensor(margin), beta).item() == pytest.approx(expected, rel=1e-5)


def test_the_learning_rate_rises_over_the_warm_up():
    made = method("wga", lr=0.4, warmup_epochs=2, updates=6)
    material = SimpleNamespace(forget=[1, 2])
    assert [made.rate(material, u) for u in range(1, 7)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_task_vector_subtracts_what_the_base_model_learned():
    forget, retain = data()
    model, base = Bigram(0), Bigram(1)
    made = UNLEARNERS.get("task_vector")(alpha=[0.5, 2.0], lr=0.01, epochs=2)
    tables = [s.model.table.detach().clone() for s in made.path(model, forget, retain, CausalLM(), base=base)]
    own = Bigram(1)
    optimizer, objective = torch.optim.AdamW(own.parameters(), 0.01), CausalLM()
    for _ in range(2):
        optimizer.zero_grad()
        logits = own.table[forget[0]["input_ids"][:, :-1]][forget[0]["labels"][:, 1:] != -100]
        nn.functional.cross_entropy(logits, objective.targets(forget[0])).backward()
        optimizer.step()
    change = own.table.detach() - base.table.detach()
    for table, alpha in zip(tables, (0.5, 2.0), strict=True):
        torch.testing.assert_close(table, model.table.detach() - alpha * change, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("room", "passes"), [(12, 1), (11, 5)])
def test_passes_are_kept_while_they_fit(monkeypatch, room, passes):
    """One float32 for each of three answers."""
    forget, retain = data()
    monkeypatch.setattr("ungrok.methods.answers.KEPT_BYTES", room)
    model = Bigram()
    list(method("npo", updates=5).path(model, forget, retain, CausalLM()))
    assert model.calls == 2 + passes


def test_the_content_of_an_example_decides_what_is_kept():
    """Other answers under the same index in the second pass: nothing has moved, so NPO stays at (2/β)·ln 2."""
    forget, retain = data()
    turns = iter([forget, [batch(RETAIN)], forget])

    class Turning:
        def __iter__(self):
            return iter(next(turns))

        def __len__(self):
            return 1

    made = method("npo", updates=3, lr=1e-12, warmup_epochs=0, alpha=0.0, weight_decay=0.0)
    losses = [step.loss for step in made.path(Bigram(), Turning(), retain, CausalLM())]
    assert losses == pytest.approx([20 * math.log(2)] * 3, rel=1e-6)


def test_a_digest_is_that_of_tokens_and_labels():
    rows, padded = batch(FORGET), batch(FORGET, pad=2)
    assert contents(rows) == contents(padded)
    assert len(set(contents(rows))) == len(FORGET)
    changed = {**rows, "labels": rows["labels"].clone()}
    changed["labels"][0, -1] = -100 if changed["labels"][0, -1] != -100 else 1
    changed["attention_mask"] = torch.ones_like(rows["attention_mask"])
    assert contents(changed)[0] != contents(rows)[0]
