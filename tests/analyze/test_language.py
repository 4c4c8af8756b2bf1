"""Measures on question-answer pairs: against slow versions on unpadded examples, and against classifiers that do the same."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ungrok.analyze import ANALYSES, Subject
from ungrok.analyze.gradients import gradient_gram, mean_gradient
from ungrok.analyze.local_complexity import directions, sign_changes
from ungrok.analyze.operators import hessian
from ungrok.analyze.representation import modularity
from ungrok.core.activations import features
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification

V = 7


class Tokens(nn.Module):
    """Embeds tokens, averages each with those before it, and makes logits of a hidden layer."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.hidden, self.head = nn.Embedding(V, 5), nn.Linear(5, 6), nn.Linear(6, V, bias=False)
        self.act = nn.SiLU()
        self.to(dtype)

    def forward(self, input_ids, attention_mask):
        there = attention_mask.unsqueeze(2).to(self.head.weight.dtype)
        seen = (self.embed(input_ids) * there).cumsum(dim=1) / there.cumsum(dim=1).clamp(min=1)
        return SimpleNamespace(logits=self.head(self.act(self.hidden(seen))))


def example(question, answer):
    ids = torch.tensor([question + answer])
    labels = torch.tensor([[-100] * len(question) + answer])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


PAIRS = [
    ([1, 2], [3, 4, 6]),
    ([5], [1, 6]),
    ([2, 2, 3], [0, 1, 5, 4, 6]),
    ([4], [6]),
    ([1, 6], [2, 2, 6]),
    ([3], [0, 6]),
]
AUTHORS = [0, 0, 1, 1, 2, 2]


def padded(chosen, objective):
    """Return examples as one batch, padded on the right, with their authors."""
    batch = objective.join(*(example(*PAIRS[i]) for i in chosen))
    return batch | {"classes": torch.tensor([AUTHORS[i] for i in chosen])}


def slow_loss(model, pair):
    (question, answer), ids = pair, example(*pair)
    logits = model(ids["input_ids"], ids["attention_mask"]).logits[0]
    terms = [-logits[len(question) - 1 + k].log_softmax(0)[token] for k, token in enumerate(answer)]
    return sum(terms) / len(terms)


def slow_gradient(model, pair):
    return torch.cat([g.flatten() for g in torch.autograd.grad(slow_loss(model, pair), list(model.parameters()))])


def slow_hidden(model, pair):
    """Return what enters the activation where an answer token is predicted."""
    question, answer = pair
    seen = model.embed(torch.tensor(question + answer))
    mean = seen.cumsum(0) / torch.arange(1, len(seen) + 1).unsqueeze(1)
    return model.hidden(mean)[len(question) - 1 : -1]


def to_the_left(batch):
    """Move the padding of a batch from the right to the left."""
    moved = {name: values.clone() for name, values in batch.items()}
    for i, count in enumerate(batch["attention_mask"].sum(dim=1)):
        for name in ("input_ids", "attention_mask", "labels"):
            moved[name][i] = batch[name][i].roll(-int(count))
    return moved


@pytest.mark.parametrize("padding", ["right", "left"])
def test_gradients_of_padded_pairs(padding):
    model, objective = Tokens().eval(), CausalLM()
    batch = padded(range(6), objective)
    batch = to_the_left(batch) if padding == "left" else batch
    rows = torch.stack([slow_gradient(model, pair) for pair in PAIRS])
    grams = gradient_gram(model, batch, objective, chunk=4)
    torch.testing.assert_close(grams["model"], rows @ rows.T, rtol=1e-9, atol=1e-12)
    assert set(grams) == {"embed", "hidden", "head", "model"}
    in_parts = gradient_gram(model, batch, objective, memory=4 * 6 * 11)
    for layer, gram in grams.items():
        torch.testing.assert_close(in_parts[layer], gram)
    mean = mean_gradient(model, [batch], objective)
    torch.testing.assert_close(torch.cat([g.flatten() for g in mean.values()]), rows.mean(dim=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("padding", ["right", "left"])
def test_features_are_means_over_the_places_that_predict(padding):
    model, objective = Tokens().eval(), CausalLM()
    batch = padded(range(6), objective)
    found = features(model, to_the_left(batch) if padding == "left" else batch, objective, chunk=4)
    hidden = [slow_hidden(model, pair) for pair in PAIRS]
    expected = torch.stack([model.act(h).mean(dim=0) for h in hidden])
    for layer in ("act", "penultimate"):
        torch.testing.assert_close(found[layer], expected)
    torch.testing.assert_close(found["logits"], expected @ model.head.weight.T)


class Routed(Tokens):
    """Its hidden layer sees tokens without examples, as an expert does that is one of several."""

    def forward(self, input_ids, attention_mask):
        hidden = self.act(self.hidden(self.embed(input_ids).flatten(0, 1)))
        return SimpleNamespace(logits=self.head(hidden.view(*input_ids.shape, -1)))


def test_layers_that_do_not_keep_examples_apart():
    model, objective = Routed().eval(), CausalLM()
    with pytest.raises(NotApplicable, match=r"a layer gives shape \(48, 6\); allowed: \(6, 8\) first"):
        features(model, padded(range(6), objective), objective)
    assert set(features(model, padded(range(6), objective), objective, layers=False)) == {"penultimate", "logits"}
    routed = subject(objective, model=model)
    for kind in ("cka_unpaired", "separation", "representation"):
        with pytest.raises(
            NotApplicable, match=f"{kind}: a layer gives shape .*; layers: false leaves such layers out"
        ):
            ANALYSES.get(kind)().measure(routed)
    left = {reading.layer for reading in ANALYSES.get("separation")(layers=False).measure(routed)}
    assert left == {"penultimate", "logits"}
    names = {reading.measure for reading in ANALYSES.get("gradient_alignment")(draws=2).measure(routed)}
    assert "gradient_cosine" in names
    assert not [name for name in names if name.startswith("modules")]


def test_a_unit_is_active_where_it_is_so_for_most_tokens():
    one = subject(CausalLM(), model=Tokens().eval())
    found = {r.measure: r.value for r in ANALYSES.get("gradient_alignment")(draws=2).measure(one)}
    shares = torch.stack(
        [(slow_hidden(one.model, PAIRS[i]) > 0).double().mean(dim=0) for i in [2, 0, 1, 3, 4, 5, 5, 5, 5]]
    )
    assert ((shares > 0) & (shares < 1)).any()
    assert found["modules_p"] == pytest.approx((shares > 0.5).double().mean().item())


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("sharpness", {"radius": 1e-3}), ("local_complexity", {"at": "embed", "directions": 3, "radius": 1e-3})],
)
def test_models_of_few_bits_are_measured_as_copies_in_float32(kind, settings):
    few = Tokens(torch.bfloat16).eval()
    before = {name: value.clone() for name, value in few.state_dict().items()}
    analysis = ANALYSES.get(kind)(**settings)
    found, expected = (
        analysis.measure(subject(CausalLM(), model=model)) for model in (few, copy.deepcopy(few).float())
    )
    assert [(r.measure, r.on, r.value) for r in found] == [(r.measure, r.on, r.value) for r in expected]
    assert all(
        torch.equal(value, before[name]) and value.dtype == torch.bfloat16 for name, value in few.state_dict().items()
    )


class Named(Tokens):
    def get_input_embeddings(self):
        return self.embed


def test_the_embedding_of_a_language_model_need_not_be_named():
    settings = {"directions": 3, "radius": 0.3}
    one = subject(CausalLM(), model=Named(torch.float32).eval())
    found, expected = (
        ANALYSES.get("local_complexity")(at=at, **settings).measure(one) for at in ("embedding", "embed")
    )
    assert [r.value for r in found] == [r.value for r in expected]
    assert any(r.value for r in found)


class Tupled(nn.Module):
    def forward(self, x):
        return (x, x)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("head", "no activation runs after 'head'"),
        ("twice", "'twice' does not give, once, a tensor with an entry for each token"),
        ("nowhere", "'nowhere' is not known"),
        ("embedding", "'embedding' is not known"),
    ],
)
def test_where_points_cannot_be_moved(at, message):
    model = Tokens(torch.float32).eval()
    model.twice = Tupled()
    model.hidden.register_forward_pre_hook(lambda _, args: model.twice(args[0]) and None)
    one = subject(CausalLM(), model=model)
    with pytest.raises(RecipeError, match=f"local_complexity.at: {message}"):
        ANALYSES.get("local_complexity")(at=at, directions=3).measure(one)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, slope):
        if torch.is_grad_enabled():
            raise RuntimeError("no derivative of backward")
        return slope * 2


class Stiff(Tokens):
    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=Once.apply(super().forward(input_ids, attention_mask).logits))


def test_a_model_without_second_derivative():
    with pytest.raises(NotApplicable, match=r"cannot be differentiated twice \(no derivative of backward"):
        ANALYSES.get("curvature")(steps=3, products=3).measure(subject(CausalLM(), model=Stiff().eval()))


def test_hessian_of_padded_pairs():
    model, objective = Tokens().eval(), CausalLM()
    weights = list(model.parameters())
    flat = torch.cat([w.detach().flatten() for w in weights])

    def loss(vector):
        parts = dict(zip(dict(model.named_parameters()), vector.split([w.numel() for w in weights]), strict=True))
        parts = {name: part.view_as(model.get_parameter(name)) for name, part in parts.items()}
        run = lambda ids, mask: torch.func.functional_call(model, parts, (ids, mask))  # noqa: E731
        return sum(slow_loss(run, pair) for pair in PAIRS) / len(PAIRS)

    dense = torch.autograd.functional.hessian(loss, flat)
    parts = [padded([0, 1, 2], objective), padded([3, 4, 5], objective)]
    torch.testing.assert_close(hessian(model, parts, objective)(torch.eye(len(flat), dtype=torch.float64)), dense)


def test_sign_changes_are_counted_where_answers_are_predicted():
    """Every token's embedding moves by the same vector; a count is the mean over the places that predict."""
    model, objective, radius = Tokens(torch.float32).eval(), CausalLM(), 0.4
    frame = directions((1, 5), 3, seed=1)
    found = sign_changes(model, padded(range(6), objective), frame, radius, at="embed", objective=objective, chunk=4)
    counts, units = found["act"]
    assert units == 6
    expected = []
    for question, answer in PAIRS:
        embedded = model.embed(torch.tensor(question + answer))
        active = []
        for move in (*frame, *-frame):
            moved = embedded + radius * move
            mean = moved.cumsum(0) / torch.arange(1, len(moved) + 1).unsqueeze(1)
            active.append(model.hidden(mean)[len(question) - 1 : -1] > 0)
        together = torch.stack(active)
        expected.append((together.any(0) & ~together.all(0)).sum(dim=1).double().mean())
    torch.testing.assert_close(counts, torch.stack(expected))
    assert sum(expected) > 0


def subject(objective, **changes):
    sets = {
        "forget": [padded([2], objective)],
        "retain": [padded([0, 1, 3, 4], objective), padded([5, 5, 5, 5], objective)],
    }
    return Subject(**{"model": Tokens().eval(), "objective": objective, "sets": sets} | changes)


def test_authors_are_the_classes():
    found = {r.measure: r for r in ANALYSES.get("representation")(draws=2).measure(subject(CausalLM()))}
    chosen = [2, 0, 1, 3, 4, 5, 5, 5, 5]
    model = Tokens().eval()
    rows = torch.stack([model.act(slow_hidden(model, PAIRS[i])).mean(dim=0) for i in chosen])
    expected = modularity(rows, torch.tensor([AUTHORS[i] for i in chosen]))
    assert found["modularity"].value == pytest.approx(expected, rel=1e-9)
    assert not [name for name in found if name.startswith("nc")]


def without_authors(objective):
    sets = {
        role: [{name: x for name, x in batch.items() if name != "classes"} for batch in batches]
        for role, batches in subject(objective).sets.items()
    }
    return subject(objective, sets=sets)


def test_without_authors_there_is_no_control_of_classes():
    names = [
        {r.measure for r in ANALYSES.get("gradient_alignment")(draws=2).measure(make(CausalLM()))}
        for make in (subject, without_authors)
    ]
    assert "gradient_cosine_other_classes" in names[0]
    assert {name for name in names[0] if "classes" in name} == names[0] - names[1]
    found = ANALYSES.get("representation")(draws=2).measure(without_authors(CausalLM()))
    assert "modularity" not in {r.measure for r in found}


@pytest.mark.parametrize("kind", ["robustness", "fourier", "local_complexity"])
def test_what_reads_pixels_does_not_read_tokens(kind):
    batches = {role: list(subject(CausalLM()).sets["retain"]) for role in ("forget", "retain", "test")}
    with pytest.raises(
        NotApplicable, match="name an embedding with 'at'" if kind == "local_complexity" else "not dict"
    ):
        ANALYSES.get(kind)().measure(subject(CausalLM(), sets=batches))


class Coded(nn.Module):
    """A classifier of seven inputs, its inputs being rows of a table."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("codes", torch.randn(V, 4))
        self.one, self.act, self.two, self.head = nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 8), nn.Linear(8, V)
        self.double()

    def forward(self, codes):
        return self.head(self.act(self.two(self.act(self.one(codes)))))


class Asked(Coded):
    """The same as a language model: the question is one token, the answer another."""

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=super().forward(self.codes[input_ids]))


ONLY_CLASSES = {"nc1", "nc2_norms", "nc2_angles", "nc3", "nc4", "fisher_trace"}
SETTINGS = {
    "learning_coefficient": {"steps": 12, "burn_in": 4, "chains": 2, "batch_size": 5},
    "curvature": {"steps": 6, "products": 6},
}


@pytest.mark.parametrize("kind", sorted(set(ANALYSES.names()) - {"robustness", "fourier", "local_complexity"}))
def test_a_language_model_that_is_a_classifier_is_measured_as_one(kind):
    questions, answers = torch.randint(V, (2, 30), generator=torch.Generator().manual_seed(2))
    classifier, asked = Coded().eval(), Asked().eval()
    other = [Coded().eval(), Asked().eval()]
    for model in other:
        torch.manual_seed(3)
        nn.init.normal_(model.two.weight)
    parts = {"forget": slice(0, 8), "retain": slice(8, 22), "test": slice(22, 30)}

    def text(part):
        ids = torch.stack([questions[part], answers[part]], dim=1)
        labels = torch.stack([torch.full_like(answers[part], -100), answers[part]], dim=1)
        made = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, "classes": answers[part]}
        return list(CausalLM().split(made, 5))

    plain = {
        name: list(zip(classifier.codes[questions[part]].split(5), answers[part].split(5), strict=True))
        for name, part in parts.items()
    }
    sides = [
        (classifier, Classification(), plain, other[0]),
        (asked, CausalLM(), {name: text(part) for name, part in parts.items()}, other[1]),
    ]
    found = []
    for model, objective, sets, reference in sides:
        analysis = ANALYSES.get(kind)(**SETTINGS.get(kind, {}))
        found.append(analysis.measure(Subject(model, objective, sets, {"oracle": reference}, seed=4)))
    left = [r for r in found[0] if r.measure not in ONLY_CLASSES]
    assert [(r.measure, r.on, r.layer, r.examples) for r in left] == [
        (r.measure, r.on, r.layer, r.examples) for r in found[1]
    ]
    for one, two in zip(left, found[1], strict=True):
        assert one.value == pytest.approx(two.value, rel=1e-5, abs=1e-7, nan_ok=True), one.measure
        for name, null in one.nulls.items():
            assert (null is None) == (two.nulls[name] is None)
            assert null is None or null.median == pytest.approx(two.nulls[name].median, rel=1e-5, abs=1e-7)
