"""An audit end to end, each number computed again by loops."""

import copy
import json
import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from transformers import ViTConfig, ViTForImageClassification

from ungrok import Prune, Quantize, Relearn, attack, audit, unlearn
from ungrok.audits.report import READING, WITHOUT
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.evaluate.membership import ATTACKS


def batches(n, seed, size=5):
    draw = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(n, 4, generator=draw), torch.randint(0, 3, (n,), generator=draw)
    return [(inputs[i : i + size], targets[i : i + size]) for i in range(0, n, size)]


def model(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))


SETS = {"forget": batches(12, 0), "retain": batches(18, 1), "test": batches(16, 2)}


MODELS = {"original": model(0), "unlearned": model(1), "oracle": model(2)}


@pytest.fixture(scope="module")
def found():
    return audit(MODELS["original"], MODELS["unlearned"], **SETS, oracle=MODELS["oracle"], factory=lambda: model(3))


def probabilities(network, batches):
    """Return one row per example, and the targets."""
    network = copy.deepcopy(network).eval()
    rows, targets = [], []
    for inputs, labels in batches:
        for x, y in zip(inputs, labels, strict=True):
            exps = [math.exp(v) for v in network(x[None])[0].double().tolist()]
            rows.append([v / sum(exps) for v in exps])
            targets.append(int(y))
    return rows, targets


def accuracy(network, batches):
    rows, targets = probabilities(network, batches)
    return sum(row.index(max(row)) == y for row, y in zip(rows, targets, strict=True)) / len(rows)


def js(p, q):
    total = 0.0
    for a, b in zip(p, q, strict=True):
        total += (a * math.log2(2 * a / (a + b)) + b * math.log2(2 * b / (a + b))) / 2
    return total


def test_accuracies(found):
    for name, network in MODELS.items():
        expected = [accuracy(network, SETS[role]) for role in ("forget", "retain", "test")]
        assert [found.accuracies[name][key] for key in ("UA", "RA", "TA")] == pytest.approx(expected)
        rows, targets = probabilities(network, SETS["test"])
        for label, value in found.classes[name]["test"].items():
            own = [row.index(max(row)) == label for row, y in zip(rows, targets, strict=True) if y == label]
            assert value == pytest.approx(sum(own) / len(own))


def test_distances(found):
    for other in ("original", "oracle"):
        for role in ("forget", "test"):
            pairs = list(
                zip(*(probabilities(MODELS[name], SETS[role])[0] for name in ("unlearned", other)), strict=True)
            )
            values = found.distances[other]
            differ = [p.index(max(p)) != q.index(max(q)) for p, q in pairs]
            assert values[f"disagreement_{role}"] == pytest.approx(sum(differ) / len(pairs))
            assert values[f"js_divergence_{role}"] == pytest.approx(
                sum(js(p, q) for p, q in pairs) / len(pairs), abs=1e-6
            )
            apart = [math.dist(p, q) for p, q in pairs]
            assert values[f"activation_distance_{role}"] == pytest.approx(sum(apart) / len(pairs), abs=1e-6)
        squares = [
            ((a - b) ** 2).sum().item()
            for a, b in zip(MODELS["unlearned"].parameters(), MODELS[other].parameters(), strict=True)
        ]
        assert found.distances[other]["weight_distance"] == pytest.approx(sum(squares) ** 0.5, rel=1e-6)


def loss_area(network):
    """Return the share of pairs of one class in which the forget example has the smaller loss."""
    sides = []
    for role in ("forget", "test"):
        rows, targets = probabilities(network, SETS[role])
        sides.append([(y, -math.log(row[y])) for row, y in zip(rows, targets, strict=True)])
    inside, outside = sides
    shared = {y for y, _ in inside} & {y for y, _ in outside}
    inside = [pair for pair in inside if pair[0] in shared]
    share = {y: sum(1 for k, _ in inside if k == y) / sum(1 for k, _ in outside if k == y) for y in shared}
    weighted = [(share[y], loss) for y, loss in outside if y in shared]
    total = sum(w for w, _ in weighted)
    return sum(w * (mine < theirs) for _, mine in inside for w, theirs in weighted) / (total * len(inside))


def test_attacks_on_every_model(found):
    assert list(found.membership) == list(MODELS)
    for name, network in MODELS.items():
        assert list(found.membership[name]) == list(ATTACKS)
        assert found.membership[name]["loss"].auc == pytest.approx(loss_area(network))
    assert found.membership["oracle"]["svc"].members == found.membership["unlearned"]["svc"].members


def test_scores_against_the_oracle(found):
    ours, best = ([found.accuracies[name][key] for key in ("UA", "RA", "TA")] for name in ("unlearned", "oracle"))
    assert found.oracle_gap == pytest.approx(sum(abs(a - b) for a, b in zip(ours, best, strict=True)) / 3)
    product = math.prod(1 - abs(a - b) for a, b in zip(ours, best, strict=True))
    assert found.tug_of_war == pytest.approx(product)
    ours[0], best[0] = loss_area(MODELS["unlearned"]), loss_area(MODELS["oracle"])
    product = math.prod(1 - abs(a - b) for a, b in zip(ours, best, strict=True))
    assert found.tug_of_war_membership == pytest.approx(product)
    start = accuracy(MODELS["original"], SETS["forget"])
    assert found.relative_forgetting == pytest.approx((start - accuracy(MODELS["unlearned"], SETS["forget"])) / start)


def test_zrf_compares_with_the_factory_s_model(found):
    pairs = zip(
        *(probabilities(network, SETS["forget"])[0] for network in (MODELS["unlearned"], model(3))), strict=True
    )
    assert found.zrf == pytest.approx(1 - sum(js(p, q) for p, q in pairs) / 12, abs=1e-6)


class Counted(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.runs = inner, 0

    def forward(self, x):
        self.runs += 1
        return self.inner(x)


def test_every_model_runs_once_over_every_set_and_stays_as_it_was():
    models = {name: Counted(network).train() for name, network in MODELS.items()}
    models["unlearned"].inner[1].eval()
    before = {name: copy.deepcopy(network.state_dict()) for name, network in models.items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    audit(**models, **SETS)
    assert torch.equal(torch.get_rng_state(), state)
    assert [network.runs for network in models.values()] == [sum(map(len, SETS.values()))] * 3
    assert [m.training for m in models["unlearned"].inner] == [True, False, True, True, True]
    for name, network in models.items():
        assert all(torch.equal(value, before[name][key]) for key, value in network.state_dict().items())


def test_a_loader_may_shuffle(found):
    """All models see the same batches, so distances are those of the fixed order; the caller's random state stays."""
    loaders = {
        role: DataLoader(TensorDataset(*(torch.cat(part) for part in zip(*parts, strict=True))), 5, shuffle=True)
        for role, parts in SETS.items()
    }
    torch.manual_seed(3)
    state = torch.get_rng_state()
    shuffled = audit(**MODELS, **loaders)
    assert torch.equal(torch.get_rng_state(), state)
    for other in ("original", "oracle"):
        assert shuffled.distances[other] == pytest.approx(found.distances[other], abs=1e-6)
    assert shuffled.membership["unlearned"]["loss"].auc == pytest.approx(found.membership["unlearned"]["loss"].auc)
    torch.manual_seed(4)
    assert audit(**MODELS, **loaders) == shuffled


def test_without_an_oracle_nothing_is_said_of_it():
    found = audit(MODELS["original"], MODELS["unlearned"], **SETS)
    assert (found.oracle_gap, found.tug_of_war, found.tug_of_war_membership, found.zrf) == (None,) * 4
    assert set(found.accuracies) == set(found.membership) == {"original", "unlearned"}
    assert set(found.distances) == {"original"}


def test_the_oracle_itself_is_at_no_distance():
    found = audit(MODELS["original"], MODELS["oracle"], **SETS, oracle=MODELS["oracle"])
    assert set(found.distances["oracle"].values()) == {0}
    assert (found.oracle_gap, found.tug_of_war, found.tug_of_war_membership) == (0, 1, 1)


def test_original_and_oracle_are_not_mixed_up(found):
    swapped = audit(MODELS["oracle"], MODELS["unlearned"], **SETS, oracle=MODELS["original"])
    assert swapped.distances == {"original": found.distances["oracle"], "oracle": found.distances["original"]}
    assert swapped.accuracies["oracle"] == found.accuracies["original"]


def test_a_diverged_model_has_no_numbers():
    broken = model(1)
    nn.init.constant_(broken[0].weight, math.nan)
    found = audit(MODELS["original"], broken, **SETS, oracle=MODELS["oracle"])
    assert found.accuracies["unlearned"] == {"UA": None, "RA": None, "TA": None}
    assert found.membership["unlearned"] is None
    assert found.membership["oracle"] is not None
    assert set(found.distances["oracle"].values()) == {None}
    assert found.tug_of_war_membership is None
    json.loads(found.to_json())


def test_another_objective():
    found = audit(**MODELS, **SETS, objective=Classification("mse"))
    assert found.accuracies == audit(**MODELS, **SETS).accuracies
    assert found.membership["unlearned"]["loss"] != found.membership["unlearned"]["confidence"]


def test_sets_that_cannot_be_meant():
    with pytest.raises(RecipeError, match="forget and retain are the same object"):
        audit(**MODELS, **{**SETS, "retain": SETS["forget"]})
    with pytest.raises(RecipeError, match=r"^test: holds no batches"):
        audit(**MODELS, **{**SETS, "test": []})


def numbered(batches, start):
    return [(x, y, start + 5 * i + torch.arange(len(y))) for i, (x, y) in enumerate(batches)]


@pytest.mark.parametrize("container", [list, lambda parts: DataLoader(parts, batch_size=None)])
def test_sets_that_share_examples(container):
    """Those to forget are 0 to 11, those to retain 11 to 28; numbers of the test set are of another data set."""
    sets = {
        role: container(numbered(SETS[role], start)) for role, start in {"forget": 0, "retain": 11, "test": 0}.items()
    }
    with pytest.raises(RecipeError, match="forget and retain share 1 examples, for instance index 11"):
        audit(**MODELS, **sets)
    sets["retain"] = container(numbered(SETS["retain"], 12))
    assert audit(**MODELS, **sets).accuracies == audit(**MODELS, **SETS).accuracies
    whole = TensorDataset(torch.cat([x for x, _ in SETS["test"]]), torch.cat([y for _, y in SETS["test"]]))
    loaders = {
        role: DataLoader(Subset(whole, range(*ends)), 4) for role, ends in {"retain": (0, 9), "test": (8, 16)}.items()
    }
    with pytest.raises(RecipeError, match="retain and test share 1 examples, for instance index 8"):
        audit(**MODELS, **SETS | loaders)


@pytest.mark.parametrize("judge", [audit, attack])
def test_sets_that_share_examples_by_content(judge):
    """Batches of other sizes, in another order, of a loader or not, and as copies."""
    (inputs, targets), *_ = SETS["forget"]
    copies = TensorDataset(torch.cat([inputs, torch.ones(2, 4)]), torch.cat([targets, torch.tensor([0, 1])]))
    retain = DataLoader(copies, 2, shuffle=True)
    with pytest.raises(
        RecipeError, match=r"^forget and retain share 5 examples by content, that is by equal inputs and targets"
    ):
        judge(**MODELS, **SETS | {"retain": retain})
    other_labels = [(inputs, (targets + 1) % 3), *SETS["retain"]]
    assert judge(**MODELS, **SETS | {"retain": other_labels}, attacks=[Quantize(bits=(4,))])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"objective": "mse"}, "objective: is a str; allowed"),
        ({"objective": CausalLM(), "tokenizer": "gpt2"}, "tokenizer: is a str; allowed"),
    ],
)
def test_arguments_that_cannot_be_meant(argument, message):
    with pytest.raises(RecipeError, match=f"^{message}"):
        audit(**MODELS, **SETS, **argument)


def test_models_of_different_shape_are_told_before_any_work():
    other = Counted(model(0))
    with pytest.raises(RecipeError, match="different parameters"):
        audit(other, MODELS["unlearned"], **SETS)
    assert other.runs == 0


def test_a_classifier_of_transformers_takes_its_inputs_by_name():
    """Its output holds the logits; the same numbers as from a bare function of the same weights."""
    config = ViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=3,
    )
    torch.manual_seed(0)
    models = [ViTForImageClassification(config).eval() for _ in range(2)]
    images, labels = torch.randn(24, 3, 8, 8), torch.arange(24) % 3
    named = {
        role: [{"pixel_values": images[part], "labels": labels[part], "source": ["a"] * 8}]
        for role, part in zip(("forget", "retain", "test"), (slice(8), slice(8, 16), slice(16, 24)), strict=True)
    }
    plain = {role: [(batch["pixel_values"], batch["labels"])] for role, (batch,) in named.items()}
    found = audit(*models, **named)
    assert found == audit(*models, **plain)
    own = [(model(images[:8]).logits.argmax(1) == labels[:8]).float().mean().item() for model in models]
    assert [found.accuracies[name]["UA"] for name in ("original", "unlearned")] == own
    sets = [{role: given[role] for role in ("forget", "retain")} for given in (named, plain)]
    ends = [unlearn(models[0], **given, method="neggrad_plus", epochs=1, lr=0.1).state_dict() for given in sets]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y.float()), r"^forget: targets are torch.float32 of shape \(5,\); allowed: int64"),
        (lambda x, y: (x[0], y[0]), r"of shape \(\).*for a data set give a DataLoader"),
        (lambda x, y: (x, torch.eye(3)[y]), r"of shape \(5, 3\).*for one-hot rows give targets.argmax\(dim=1\)"),
        (lambda x, y: (x.index_fill(0, torch.tensor(1), math.nan), y), "^forget: inputs hold NaN or infinity$"),
        (lambda x, y: (x, y + 1), "^forget: targets hold 3; allowed: 0 to 2"),
        (lambda x, y: (x[:, :2], y), r"^forget: the model does not take these batches \("),
    ],
)
def test_audit_and_unlearn_refuse_in_the_same_words(change, message):
    sets = {**SETS, "forget": [change(x, y) for x, y in SETS["forget"]]}
    with pytest.raises(RecipeError, match=message) as audited:
        audit(**MODELS, **sets)
    with pytest.raises(RecipeError, match=message) as unlearned:
        unlearn(MODELS["original"], forget=sets["forget"], retain=SETS["retain"], method="scrub")
    assert str(audited.value) == str(unlearned.value)


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_whole_numbers_are_targets(found, kind, shape):
    assert audit(
        **MODELS, **{role: [(x, y.to(kind).view(shape)) for x, y in part] for role, part in SETS.items()}
    ) == audit(**MODELS, **SETS)


def test_a_factory_of_an_audit_gives_a_fresh_model():
    with pytest.raises(RecipeError, match="factory: gave the model itself"):
        audit(**MODELS, **SETS, factory=lambda: MODELS["unlearned"])


FEW = (Relearn(updates=3, lr=(0.05, 0.1), shares=(0.0, 0.2), batch=8), Quantize(bits=(4, 2)), Prune(shares=(0.5,)))


@pytest.fixture(scope="module")
def attacked():
    return attack(MODELS["unlearned"], original=MODELS["original"], oracle=MODELS["oracle"], **SETS, attacks=FEW)


def test_an_attack_begins_with_the_accuracies_of_the_models(attacked):
    for name, network in MODELS.items():
        rows = [row for row in attacked.rows if row["subject"] == name]
        first = next(row for row in rows if row["attack"] == "relearn" and row["share"] == 0)
        expected = [accuracy(network, SETS[role]) for role in ("forget", "retain", "test")]
        assert [first[key] for key in ("UA", "RA", "TA")] == pytest.approx(expected)
        assert len(rows) == 4 * 4 + 3 + 2


def test_the_worst_gap_is_that_of_the_rows(attacked):
    for label in ("relearn", "quantize", "prune"):
        sides = {
            name: [row["UA"] for row in attacked.rows if row["subject"] == name and row["attack"] == label]
            for name in ("unlearned", "oracle")
        }
        largest = max(a - b for a, b in zip(sides["unlearned"], sides["oracle"], strict=True))
        assert attacked.worst_gaps[label] == pytest.approx(largest)
    assert attacked.worst_gap == max(attacked.worst_gaps.values())
    assert attacked.table().endswith(READING)


def test_an_attack_can_be_repeated_and_leaves_everything_alone(attacked):
    kept = {name: copy.deepcopy(network.state_dict()) for name, network in MODELS.items()}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    loaders = {
        role: DataLoader(TensorDataset(*(torch.cat(part) for part in zip(*batches, strict=True))), 7)
        for role, batches in SETS.items()
    }
    given = {"original": MODELS["original"], "oracle": MODELS["oracle"], "attacks": FEW}
    again = attack(MODELS["unlearned"], **given, **loaders)
    assert torch.equal(torch.get_rng_state(), before)
    for row, other in zip(again.rows, attacked.rows, strict=True):
        assert row == pytest.approx(other, abs=1e-5)  # batches of another size add up in another order
    for name, network in MODELS.items():
        assert all(torch.equal(value, kept[name][key]) for key, value in network.state_dict().items())
    other = attack(MODELS["unlearned"], **given, **SETS, seed=1)
    assert [row["UA"] for row in other.rows] != [row["UA"] for row in attacked.rows]


def test_an_attack_without_an_oracle_says_what_that_cannot_show(attacked):
    report = attack(MODELS["unlearned"], original=MODELS["original"], **SETS, attacks=FEW)
    assert report.rows == [row for row in attacked.rows if row["subject"] != "oracle"]
    assert report.worst_gap is None
    assert str(report).endswith(WITHOUT)


def test_an_attack_by_default_makes_all_of_them():
    report = attack(MODELS["unlearned"], original=MODELS["original"], oracle=MODELS["oracle"], **SETS)
    labels = "interpolate_original linear_probe prune quantize relearn weight_noise interpolate_oracle"
    assert report.attacks == labels.split()
    last = [row for row in report.rows if row["attack"] == "interpolate_oracle" and row["dose"] == 1]
    assert len({(row["UA"], row["RA"], row["TA"]) for row in last}) == 1  # all three models have become the oracle
    line = {row["subject"]: row["barrier_retain"] for row in last}
    assert line["oracle"] == 0
    json.loads(report.to_json())


def test_an_audit_with_attacks_is_an_audit_and_an_attack(found, attacked):
    both = audit(
        MODELS["original"],
        MODELS["unlearned"],
        **{role: iter(batches) for role, batches in SETS.items()},
        oracle=MODELS["oracle"],
        factory=lambda: model(3),
        attacks=FEW,
    )
    assert both.stress.rows == attacked.rows
    alone, whole = found.to_dict(), both.to_dict()
    assert alone["stress"] is None
    assert whole["stress"]["worst_gap"] == attacked.worst_gap
    assert {key: value for key, value in whole.items() if key != "stress"} == {
        key: value for key, value in alone.items() if key != "stress"
    }
    assert str(both) == f"{found}\n{attacked}"


def test_an_attack_refuses_what_it_cannot_read():
    given = {"original": MODELS["original"], **SETS}
    with pytest.raises(RecipeError, match="forget and retain are the same object"):
        attack(MODELS["unlearned"], **given | {"retain": SETS["forget"]})
    with pytest.raises(RecipeError, match=r"^attacks: 'quantise' is not known"):
        attack(MODELS["unlearned"], **given, attacks=["quantise"])
    with pytest.raises(RecipeError, match="test: holds no batches"):
        attack(MODELS["unlearned"], **given | {"test": []})
    with pytest.raises(RecipeError, match=r"^retain: is None; allowed: a DataLoader or a list of batches"):
        attack(MODELS["unlearned"], **given | {"retain": None})
    with pytest.raises(RecipeError, match=r"^oracle: the model does not take the batches of forget "):
        attack(MODELS["unlearned"], **given, oracle=nn.Linear(9, 3), attacks="prune")
    with pytest.raises(RecipeError, match="original: has other parameters than the model"):
        attack(MODELS["unlearned"], **given | {"original": nn.Linear(4, 3)}, attacks="interpolate")
    with pytest.raises(RecipeError, match="relearn: lr: -1 is not allowed"):
        Relearn(lr=(-1,))
