"""An audit of language models on batches of transformers' own collators, each number computed again token by token."""

import json
import math
import zlib

import pytest
import torch
from transformers import DataCollatorForLanguageModeling, DataCollatorForSeq2Seq, LlamaConfig, LlamaForCausalLM

from ungrok import audit
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.data.tokens import train_tokenizer
from ungrok.evaluate.accuracy import class_accuracies
from ungrok.evaluate.distances import distances, zrf
from ungrok.evaluate.examination import ClassExamination
from ungrok.evaluate.leakage import READING
from ungrok.evaluate.membership import membership

TEXTS = [
    "the cat sat on the mat",
    "a dog ran",
    "she sells sea shells by the shore",
    "one two three four",
    "no",
    "red fish blue fish",
    "a bird in the hand",
    "here today",
]
ROLES = {"forget": (0, 3), "retain": (3, 5), "test": (5, 8)}
MODELS = ("original", "unlearned", "oracle")


def tokenizer(side):
    made = train_tokenizer(TEXTS, 300)
    made.padding_side = side
    return made


def model(seed):
    size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        # Large embeddings, so that predictions are sure of themselves and differ.
        return LlamaForCausalLM(LlamaConfig(vocab_size=300, initializer_range=0.3, **size))


def rows_of(coder, prompt):
    """Return token ids and labels of each text; the first token is the question where ``prompt``."""
    rows = [[*coder(text)["input_ids"], coder.eos_token_id] for text in TEXTS]
    return [(ids, [-100, *ids[1:]] if prompt else ids) for ids in rows]


def answers(ids, labels):
    """Return the places whose token is predicted: all that are labeled, but for the first, before which there is nothing."""
    return [place for place in range(1, len(ids)) if labels[place] != -100]


def collated(side, kind):
    coder = tokenizer(side)
    rows = rows_of(coder, kind == "seq2seq")
    if kind == "seq2seq":
        collate = DataCollatorForSeq2Seq(coder)
        features = [{"input_ids": i, "attention_mask": [1] * len(i), "labels": n} for i, n in rows]
    else:
        collate = DataCollatorForLanguageModeling(coder, mlm=False)
        features = [{"input_ids": i} for i, _ in rows]
    sets = {}
    for role, (start, stop) in ROLES.items():
        middle = (start + stop) // 2
        sets[role] = [collate([dict(f) for f in features[a:b]]) for a, b in ((start, middle), (middle, stop))]
    return coder, sets


NETWORKS = {name: model(seed) for seed, name in enumerate((*MODELS, "random"))}


def slow(name, coder, prompt):
    """Return for each text a list of (probabilities, true token) of its answer's tokens, one text at a time, unpadded."""
    texts = []
    network = NETWORKS[name].eval()
    for ids, labels in rows_of(coder, prompt):
        with torch.no_grad():
            logits = network(torch.tensor([ids])).logits[0].double()
        texts.append([(logits[p - 1].softmax(0).tolist(), ids[p]) for p in answers(ids, labels)])
    return texts


def of(role, texts):
    return texts[slice(*ROLES[role])]


def right(p, token):
    return p.index(max(p)) == token


def accuracy(texts, eos):
    shares = []
    for text in texts:
        hits = [right(p, token) for p, token in text if token != eos]
        shares.append(sum(hits) / max(1, len(hits)))
    return sum(shares) / len(shares)


def extraction(texts, eos, least=0):
    """Return the mean share of the correct end; ``least`` tokens of it are given away, as in the public code."""
    values = []
    for text in texts:
        hits = [right(p, token) for p, token in text if token != eos]
        tail = next((i for i, hit in enumerate(reversed(hits)) if not hit), len(hits))
        values.append(max(tail, least if hits else 0) / max(1, len(hits)))
    return sum(values) / len(values)


def probability(texts):
    return sum(math.exp(sum(math.log(p[t]) for p, t in text) / len(text)) for text in texts) / len(texts)


def area(members, others):
    pairs = [(a > b) + (a == b) / 2 for a in members for b in others]
    return sum(pairs) / len(pairs)


def lowest(values):
    values = sorted(values[:-1] or values)
    count = max(1, int(0.4 * len(values)))
    return sum(values[:count]) / count


def normalized(p, token):
    mean = sum(x * math.log(x) for x in p)
    spread = math.sqrt(sum(x * (math.log(x) - mean) ** 2 for x in p))
    return (math.log(p[token]) - mean) / spread


def likelihood(text):
    return sum(math.log(p[t]) for p, t in text) / len(text)


SIGNALS = {
    "loss": likelihood,
    "min_k": lambda text: lowest([math.log(p[t]) for p, t in text]),
    "min_k_plus_plus": lambda text: lowest([normalized(p, t) for p, t in text]),
}


def js(p, q):
    return sum((a * math.log2(2 * a / (a + b)) + b * math.log2(2 * b / (a + b))) / 2 for a, b in zip(p, q, strict=True))


CASES = [("right", "seq2seq"), ("left", "seq2seq"), ("right", "whole texts"), ("left", "whole texts")]


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def case(request):
    side, kind = request.param
    coder, sets = collated(side, kind)
    found = audit(
        *(NETWORKS[name] for name in MODELS[:2]),
        **sets,
        oracle=NETWORKS["oracle"],
        factory=lambda: NETWORKS["random"],
        objective=CausalLM(coder.eos_token_id),
        tokenizer=coder,
    )
    return found, {name: slow(name, coder, kind == "seq2seq") for name in NETWORKS}, coder.eos_token_id


def test_batches_are_padded_on_the_side_that_is_meant():
    for side, kind in CASES:
        mask = collated(side, kind)[1]["test"][1]["attention_mask"]
        assert mask.eq(0).any()
        assert mask[:, -1 if side == "left" else 0].all()


def test_accuracies_and_memorization(case):
    found, texts, eos = case
    for name in MODELS:
        for key, role in (("UA", "forget"), ("RA", "retain"), ("TA", "test")):
            assert found.accuracies[name][key] == pytest.approx(accuracy(of(role, texts[name]), eos), abs=1e-6)
        for role in ("forget", "retain"):
            mine = of(role, texts[name])
            assert found.memorization[name][f"extraction_{role}"] == pytest.approx(extraction(mine, eos), abs=1e-6)
            assert found.memorization[name][f"ES_{role}"] == pytest.approx(extraction(mine, eos, least=1), abs=1e-6)
            assert found.memorization[name][f"probability_{role}"] == pytest.approx(probability(mine), rel=1e-4)


def test_attacks_of_forget_against_test_examples(case):
    found, texts, _ = case
    for name in MODELS:
        assert set(found.membership[name]) == {*SIGNALS, "zlib", *(["reference"] if name != "oracle" else [])}
        for attack, signal in SIGNALS.items():
            members, others = ([signal(text) for text in of(role, texts[name])] for role in ("forget", "test"))
            assert found.membership[name][attack].auc == pytest.approx(area(members, others))
        if name != "oracle":
            sides = [
                zip(*(of(role, texts[one]) for one in (name, "oracle")), strict=True) for role in ("forget", "test")
            ]
            members, others = ([likelihood(ours) - likelihood(theirs) for ours, theirs in side] for side in sides)
            assert found.membership[name]["reference"].auc == pytest.approx(area(members, others))
    assert found.reading == READING


@pytest.mark.parametrize("kind", ["seq2seq", "whole texts"])
def test_likelihood_over_the_compressed_length_of_the_answer(kind):
    coder, sets = collated("right", kind)
    models = (NETWORKS["original"], NETWORKS["unlearned"])
    found = audit(*models, **sets, objective=CausalLM(coder.eos_token_id), tokenizer=coder)
    rows = rows_of(coder, kind == "seq2seq")
    texts = [coder.decode([t for t in labels if t != -100], skip_special_tokens=True) for _, labels in rows]
    signals = [
        likelihood(tokens) / len(zlib.compress(text.encode()))
        for tokens, text in zip(slow("unlearned", coder, kind == "seq2seq"), texts, strict=True)
    ]
    assert found.membership["unlearned"]["zlib"].auc == pytest.approx(area(of("forget", signals), of("test", signals)))


def test_without_a_tokenizer_or_an_oracle_their_attacks_are_left_out():
    coder, sets = collated("right", "seq2seq")
    found = audit(NETWORKS["original"], NETWORKS["unlearned"], **sets, objective=CausalLM(coder.eos_token_id))
    assert list(found.membership["unlearned"]) == ["loss", "min_k", "min_k_plus_plus"]


def test_a_tokenizer_has_no_meaning_for_classifiers():
    sets = {name: [(torch.zeros(2, 3), torch.tensor([0, 1]))] for name in ROLES}
    with pytest.raises(RecipeError, match="tokenizer: has no meaning for a classifier model"):
        audit(torch.nn.Linear(3, 2), torch.nn.Linear(3, 2), **sets, tokenizer=tokenizer("right"))


def test_distances_are_means_over_answer_tokens(case):
    found, texts, _ = case
    for other in ("original", "oracle"):
        for role in ("forget", "test"):
            sides = [[p for text in of(role, texts[name]) for p, _ in text] for name in ("unlearned", other)]
            pairs = list(zip(*sides, strict=True))
            values = found.distances[other]
            differ = [p.index(max(p)) != q.index(max(q)) for p, q in pairs]
            assert values[f"disagreement_{role}"] == pytest.approx(sum(differ) / len(pairs))
            assert values[f"js_divergence_{role}"] == pytest.approx(
                sum(js(p, q) for p, q in pairs) / len(pairs), abs=1e-5
            )
            apart = [math.dist(p, q) for p, q in pairs]
            assert values[f"activation_distance_{role}"] == pytest.approx(sum(apart) / len(pairs), abs=1e-5)
    assert found.distances["oracle"]["js_divergence_forget"] > 0.01


def test_scores_against_the_oracle_and_a_fresh_model(case):
    found, texts, eos = case
    sides = [[accuracy(of(role, texts[name]), eos) for role in ROLES] for name in ("unlearned", "oracle")]
    assert found.oracle_gap == pytest.approx(sum(abs(a - b) for a, b in zip(*sides, strict=True)) / 3, abs=1e-6)
    tokens = [[p for text in of("forget", texts[name]) for p, _ in text] for name in ("unlearned", "random")]
    mean = sum(js(p, q) for p, q in zip(*tokens, strict=True)) / len(tokens[0])
    assert found.zrf == pytest.approx(1 - mean, abs=1e-5)


def test_text_and_json(case):
    found, _, _ = case
    lines = str(found).splitlines()
    assert lines[0].split() == ["UA", "RA", "TA", *found.memorization["oracle"]]
    shown = [*found.accuracies["oracle"].values(), *found.memorization["oracle"].values()]
    assert lines[3].split() == ["oracle", *(f"{value:.3f}" for value in shown)]
    assert {line.split()[0] for line in lines[-6:-1]} == {*SIGNALS, "zlib", "reference"}
    assert next(line for line in lines if line.split()[0] == "reference").split()[-1] == "-"
    assert json.loads(found.to_json())["memorization"] == found.memorization


def test_padding_side_changes_no_number():
    audits = []
    for side in ("right", "left"):
        coder, sets = collated(side, "seq2seq")
        found = audit(NETWORKS["original"], NETWORKS["unlearned"], **sets, objective=CausalLM(coder.eos_token_id))
        audits.append(found)
    for name in MODELS[:2]:
        assert audits[0].memorization[name] == pytest.approx(audits[1].memorization[name], rel=1e-5)
    assert audits[0].distances["original"] == pytest.approx(audits[1].distances["original"], rel=1e-4)


def test_a_diverged_language_model_has_no_numbers():
    coder, sets = collated("right", "seq2seq")
    broken = model(1)
    torch.nn.init.constant_(broken.lm_head.weight, math.nan)
    found = audit(NETWORKS["original"], broken, **sets, objective=CausalLM(coder.eos_token_id))
    assert found.accuracies["unlearned"] == {"UA": None, "RA": None, "TA": None}
    assert found.membership["unlearned"] is None
    assert found.membership["original"] is not None
    assert set(found.distances["original"].values()) == {None}
    json.loads(found.to_json())


def test_batches_that_the_objective_does_not_take():
    _, sets = collated("right", "seq2seq")
    models = (NETWORKS["original"], NETWORKS["unlearned"])
    with pytest.raises(
        RecipeError, match=r"^forget: a batch is a dict with a label for every.* give objective=CausalLM\(\)"
    ):
        audit(*models, **sets, objective=Classification())
    bare = {role: [{k: v for k, v in b.items() if k != "labels"} for b in parts] for role, parts in sets.items()}
    with pytest.raises(
        RecipeError, match=r"^forget: a batch has no 'labels'; allowed: a dict with input_ids, attention_mask, labels"
    ):
        audit(*models, **bare, objective=CausalLM())


def network(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))


def examples(seed, n):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=draw), torch.arange(n) % 3


def test_classifiers_are_told_apart_by_the_metrics_of_their_scores():
    """One batch for each set; every number is what the metric gives of the scores of that set."""
    networks = {name: network(seed) for seed, name in enumerate((*MODELS, "random"))}
    sets = {role: [examples(seed, 8 + seed)] for seed, role in enumerate(ROLES)}
    examination = ClassExamination(Classification(), networks)
    for role, batches in sets.items():
        examination.read(role, batches)
    scores = {
        name: {role: Classification().score(made, batches) for role, batches in sets.items()}
        for name, made in networks.items()
    }
    assert examination.accuracies() == {
        name: {key: scores[name][role].accuracy for key, role in (("UA", "forget"), ("RA", "retain"), ("TA", "test"))}
        for name in MODELS
    }
    assert examination.zrf() == zrf(scores["unlearned"]["forget"], scores["random"]["forget"])
    assert examination.distances() == {
        other: distances(scores["unlearned"], scores[other]) for other in ("original", "oracle")
    }
    assert examination.classes()["oracle"]["test"] == class_accuracies(scores["oracle"]["test"])
    assert examination.membership(3)["original"] == membership(
        scores["original"]["forget"], scores["original"]["test"], 3
    )
    with pytest.raises(RecipeError, match="retain: holds no batches"):
        examination.read("retain", [])


@pytest.mark.parametrize(("size", "attacked"), [(1, False), (2, True)])
def test_language_models_are_attacked_where_each_side_has_two_examples(size, attacked):
    coder, sets = collated("right", "seq2seq")
    few = [{name: value[:size] for name, value in sets["test"][1].items()}]
    found = audit(
        NETWORKS["original"], NETWORKS["unlearned"], **(sets | {"test": few}), objective=CausalLM(coder.eos_token_id)
    )
    assert (found.membership["unlearned"] is not None) == attacked


def test_the_objective_of_a_causal_language_model_is_recognized():
    """By the class of the model, under a wrapper, too; the end token counts like any other."""
    _, sets = collated("left", "seq2seq")
    models = [NETWORKS["original"], NETWORKS["unlearned"]]
    expected = audit(*models, **sets, objective=CausalLM())
    assert audit(*models, **sets) == expected
    assert audit(torch.nn.DataParallel(models[0]), torch.compile(models[1], backend="eager"), **sets) == expected
