"""Losses against numbers worked out by hand, and an objective of one's own in three methods."""

import math

import pytest
import torch
import torch.nn.functional as F

import ungrok
from ungrok.analyze import ANALYSES, Subject
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification, Objective, log_stable

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
TARGETS = torch.tensor([0, 2])
BATCH = (torch.zeros(2, 4), TARGETS)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("cross_entropy", [math.log(math.e**2 + 1 + math.e) - 2, math.log(3)]),
        # ((2 − 1)² + 0 + 1)/3 and (0 + 0 + 1)/3: the mean over classes, not the sum.
        ("mse", [2 / 3, 1 / 3]),
        # s = 3, 1, 2 for the logits 2, 0, 1.
        ("stablemax", [math.log(2), math.log(3)]),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_losses_by_hand(loss, expected, precision):
    losses = Classification(loss, precision).losses(LOGITS, BATCH)
    assert losses.dtype == getattr(torch, precision)
    assert losses.tolist() == pytest.approx(expected, rel=1e-6)


def test_mse_is_that_of_torch():
    one_hot = torch.nn.functional.one_hot(TARGETS, 3).float()
    mean = Classification("mse").losses(LOGITS, BATCH).mean()
    assert mean.item() == pytest.approx(torch.nn.MSELoss()(LOGITS, one_hot).item(), rel=1e-6)


def test_mse_of_single_examples_is_that_of_their_batch():
    logits, targets = torch.randn(5, 4), torch.tensor([3, 0, 1, 2, 2])
    objective = Classification("mse")
    one = lambda row, target: objective.losses(row.unsqueeze(0), (None, target.unsqueeze(0)))[0]  # noqa: E731
    assert torch.equal(torch.vmap(one)(logits, targets), objective.losses(logits, (None, targets)))
    every = torch.vmap(lambda target: one(logits[0], target))(targets)  # one row of logits, whatever the target
    assert torch.equal(every, objective.losses(logits[:1].expand(5, 4), (None, targets)))


def test_predictions_of_rows_that_are_not_finite_are_none_and_large_numbers_are_finite():
    largest = torch.finfo(torch.float32).max
    rows = [[1.0, 2.0], [math.inf, 0.0], [0.0, -math.inf], [math.inf, -math.inf], [math.nan, 0.0], [largest, largest]]
    batch = (None, torch.zeros(len(rows), dtype=torch.int64))
    scores = Classification().scores_of(torch.tensor(rows), torch.zeros(len(rows)), batch, keep_logits=False)
    assert scores.predictions.tolist() == [1, -1, -1, -1, -1, 0]


def test_stablemax_by_its_formula():
    """s(x) = x + 1 where x ≥ 0 and 1/(1 − x) below; −log(s(z_y) / Σ s(z)), and its derivative, at 0 too."""

    def slow(row, target):
        s = [x + 1 if x >= 0 else 1 / (1 - x) for x in row]
        return -torch.log(s[target] / sum(s))

    logits = torch.tensor([[3.0, -2.0, 0.0], [-40.0, -0.5, 1e6]], dtype=torch.float64, requires_grad=True)
    found = Classification("stablemax").losses(logits, (None, torch.tensor([1, 0])))
    expected = torch.stack([slow(row, target) for row, target in zip(logits, (1, 0), strict=True)])
    assert torch.allclose(found, expected, rtol=1e-12)
    gradients = [torch.autograd.grad(x.sum(), logits)[0] for x in (found, expected)]
    assert torch.allclose(*gradients, rtol=1e-10)


def test_float64_loss_goes_on_falling_where_float32_stops():
    """The softmax saturates: below 1e-7 a float32 loss is 0 and its gradient with it."""
    logits = torch.tensor([[25.0, 0.0]], requires_grad=True)
    batch = (None, torch.tensor([0]))
    for precision, expected in (("float32", 0.0), ("float64", math.log1p(math.exp(-25)))):
        (loss,) = Classification(precision=precision).losses(logits, batch)
        assert loss.item() == pytest.approx(expected, rel=1e-4, abs=0)
    assert 0 < loss.item() < 1e-10
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, 0].item() == pytest.approx(-math.exp(-25), rel=1e-4)


def test_one_loss_size_prediction_and_target_per_example():
    objective = Classification()
    assert objective.size(BATCH) == 2
    assert objective.predictions(LOGITS).tolist() == [0, 0]
    assert objective.targets(BATCH) is TARGETS
    inputs, targets = objective.relabel(BATCH, torch.tensor([1, 1]))
    assert inputs is BATCH[0]
    assert targets.tolist() == [1, 1]
    assert objective.move(BATCH, torch.device("meta"))[1].device.type == "meta"


def test_logits_are_the_models_output():
    model = torch.nn.Linear(4, 3)
    assert torch.equal(Classification().logits(model, BATCH), model(BATCH[0]))


def test_unknown_loss():
    with pytest.raises(RecipeError, match=r"'hinge'.*cross_entropy, mse"):
        Classification("hinge")


class Focal(Objective):
    """The focal loss (1 − p)²·CE, as a user would write it."""

    def logits(self, model, batch):
        return model(batch[0])

    def losses(self, logits, batch):
        plain = F.cross_entropy(logits, batch[1], reduction="none")
        return (1 - (-plain).exp()).square() * plain

    def targets(self, batch):
        return batch[1]


class Same(Objective):
    """Cross-entropy once more, as an objective of one's own."""

    def logits(self, model, batch):
        return model(batch[0])

    def losses(self, logits, batch):
        return F.cross_entropy(logits, batch[1], reduction="none")

    def targets(self, batch):
        return batch[1]


def batches(seed, n=12, size=4):
    draw = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(n, 4, generator=draw), torch.randint(3, (n,), generator=draw)
    return list(zip(inputs.split(size), targets.split(size), strict=True))


SETS = {"forget": batches(0), "retain": batches(1), "test": batches(2)}


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))


def unlearned(objective, method):
    sets = {"forget": SETS["forget"], "retain": SETS["retain"]}
    return ungrok.unlearn(network(), **sets, method=method, objective=objective, epochs=1, lr=0.1, momentum=0.0)


@pytest.mark.parametrize("method", ["scrub", "neggrad_plus"])
def test_three_methods_unlearn_as_the_built_in_objective_does(method):
    sides = [unlearned(objective, method).state_dict() for objective in (Same(), Classification())]
    assert all(torch.equal(value, sides[1][name]) for name, value in sides[0].items())
    other = unlearned(Focal(), method).state_dict()
    assert any(not torch.equal(value, sides[0][name]) for name, value in other.items())


def test_gradient_ascent_follows_the_loss_that_is_given():
    model, start = unlearned(Focal(), "gradient_ascent"), network()
    optimizer = torch.optim.SGD(start.parameters(), 0.1, weight_decay=5e-4)
    for inputs, targets in SETS["forget"]:
        optimizer.zero_grad()
        p = start(inputs).softmax(1).gather(1, targets[:, None])[:, 0]
        (-((1 - p) ** 2 * -p.log()).mean()).backward()
        optimizer.step()
    for ours, theirs in zip(model.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_three_methods_are_audited():
    models = (network(0), network(1))
    own, built_in = (ungrok.audit(*models, **SETS, objective=made) for made in (Same(), Classification()))
    assert own == built_in
    focal = ungrok.audit(*models, **SETS, objective=Focal())
    assert focal.accuracies == own.accuracies
    # The focal loss ranks examples as the loss does.
    assert focal.membership["unlearned"]["loss"].auc == own.membership["unlearned"]["loss"].auc


@pytest.mark.parametrize("kind", ["gradient_alignment", "representation", "curvature", "sharpness"])
def test_three_methods_are_analyzed(kind):
    own, built_in = (
        ANALYSES.parse({"kind": kind, "draws": 2}).measure(Subject(network(), made, SETS))
        for made in (Same(), Classification())
    )
    assert own == built_in
    assert len(own) > 3


def test_the_gradient_of_an_objective_of_ones_own():
    (reading,) = (
        one
        for one in ANALYSES.parse({"kind": "gradient_alignment", "draws": 2}).measure(Subject(network(), Focal(), SETS))
        if (one.measure, one.layer, one.on) == ("gradient_cosine", "model", "forget|retain")
    )
    model, gradients = network(), []
    for role in ("forget", "retain"):
        inputs, targets = (torch.cat(part) for part in zip(*SETS[role], strict=True))
        p = model(inputs).softmax(1).gather(1, targets[:, None])[:, 0]
        loss = ((1 - p) ** 2 * -p.log()).mean()
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    assert reading.value == pytest.approx(torch.cosine_similarity(*gradients, dim=0).item(), abs=1e-5)


def test_what_is_inherited_takes_batches_with_an_index():
    objective, whole = Same(), (torch.arange(12.0).view(6, 2), torch.arange(6) % 3, torch.arange(6) + 10)
    parts = list(objective.split(whole, 4))
    assert [objective.size(part) for part in parts] == [4, 2]
    assert all(torch.equal(a, b) for a, b in zip(objective.join(*parts), whole, strict=True))
    assert objective.index(parts[1]).tolist() == [14, 15]
    assert objective.index(whole[:2]) is None
    assert objective.classes(whole).tolist() == [0, 1, 2, 0, 1, 2]
    assert int(objective.weight(parts[0])) == 4
    assert objective.mean(torch.tensor([1.0, 3.0]), parts[1]) == 2
    assert [part.tolist() for part in objective.relabel(parts[1], torch.tensor([2, 2]))[1:]] == [[2, 2], [14, 15]]
    rows = objective.rows(torch.ones(2, 3, 4), parts[1])
    assert rows.shape == (2, 12)
    assert objective.by_example(rows, parts[1]) is rows
    assert (objective.family, objective.per_sample) == ("classifier", True)


@pytest.mark.parametrize(
    ("batch", "shape", "message"),
    [
        ((torch.zeros(2, 4), torch.zeros(2)), (2, 3), "targets are torch.float32"),
        ((torch.zeros(3, 4), torch.zeros(2).long()), (2, 3), "3 inputs but 2 targets"),
        ((torch.zeros(2, 4), torch.zeros(2).long()), (2, 3, 1), r"shape \(2, 3, 1\); allowed: \(n, classes\)"),
        ((torch.full((2, 4), math.nan), torch.zeros(2).long()), (2, 3), "inputs hold NaN"),
        ((torch.zeros(2, 4), torch.tensor([0, 3])), (2, 3), "targets hold 3; allowed: 0 to 2"),
        ((torch.zeros(2, 4), torch.tensor([-1, 0])), (2, 3), "targets hold -1"),
    ],
)
def test_batches_that_cannot_be_learned_from(batch, shape, message):
    with pytest.raises(RecipeError, match=message):
        Same().check(batch, torch.Size(shape))


def test_an_objective_without_the_three_is_none():
    with pytest.raises(TypeError, match="abstract"):
        Objective()
    with pytest.raises(RecipeError, match=r"a batch is a dict with x, y, but Same takes \(inputs, targets\)"):
        Same().move({"x": torch.ones(1), "y": torch.ones(1)}, torch.device("cpu"))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, 2]), None),
        (torch.tensor([[0], [2]]), r"shape \(2, 1\); allowed: int64"),
        (torch.tensor([0.0, 2.0]), "targets are torch.float32"),
        (torch.tensor([-1, 2]), "targets hold -1; allowed: 0 to 2"),
        (torch.tensor([0, 3]), "targets hold 3; allowed: 0 to 2"),
    ],
)
def test_targets_are_one_class_for_each_input(targets, message):
    batch = (torch.zeros(2, 4), targets)
    if message is None:
        Classification().check(batch, LOGITS.shape)
    else:
        with pytest.raises(RecipeError, match=message):
            Classification().check(batch, LOGITS.shape)


@pytest.mark.parametrize("targets", [[1, 1], [0, 0], [2, 2], []])
def test_batches_of_one_class_and_of_nothing_can_be_learned_from(targets):
    batch = (torch.zeros(len(targets), 4), torch.tensor(targets, dtype=torch.int64))
    Classification().check(batch, torch.Size([len(targets), 3]))
    whole_numbers = (torch.zeros(2, 4, dtype=torch.int64), TARGETS)
    Classification().check(whole_numbers, LOGITS.shape)


def test_an_index_is_joined_where_every_batch_has_one():
    one, two = (torch.zeros(1, 4), torch.tensor([0]), torch.tensor([7])), (torch.ones(1, 4), torch.tensor([1]))
    assert len(Same().join(one, one)) == 3
    joined = Same().join(one, two)
    assert [part.tolist() for part in joined] == [[[0] * 4, [1] * 4], [0, 1]]


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_stablemax_has_a_slope_where_the_side_that_is_not_taken_has_none(value):
    """d log s/dx is 1/(1 + x) for x ≥ 0 and 1/(1 − x) below."""
    x = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(log_stable(x).sum(), x)
    assert slope.item() == pytest.approx(1 / (1 + abs(value)))
