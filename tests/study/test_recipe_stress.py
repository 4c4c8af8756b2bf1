"""The blocks stress and lasting: their short forms, and what is wrong with them in one sentence."""

import pytest

from ungrok.audits import STRESS_TESTS
from ungrok.audits.beside import configured
from ungrok.core.errors import RecipeError
from ungrok.core.plain import parse_yaml
from ungrok.study.loading import load, to_yaml, validate
from ungrok.study.plan import make_plan
from ungrok.study.recipe_stress import Lasting, Stress, lasting_target, where_label


def test_recipes_without_them_keep_their_hash_and_their_jobs(tiny):
    assert {"stress", "lasting"}.isdisjoint(tiny().spec())
    assert tiny().hash == "d9b8d496"
    assert [tiny(block).hash == "d9b8d496" for block in ("stress={}", "lasting={}")] == [False, False]
    assert tiny("stress={}").hash == "4cb6ed1d"
    plain, more = (make_plan(tiny(*blocks)).jobs for blocks in ([], ["stress={}", "lasting={}"]))
    assert list(more)[: len(plain)] == list(plain)


def test_a_block_without_attacks_has_those_that_the_library_makes_by_default(tiny):
    attacks = tiny("stress={places: [end]}").stress.attacks
    assert [test.label for test in attacks] == [
        "interpolate_original", "linear_probe", "prune", "quantize", "relearn", "weight_noise", "interpolate_oracle"
    ]  # fmt: skip
    assert attacks == configured(None, "classifier", has_oracle=True)
    text = load("tests/study/tiny-text.yaml", ["stress={}"]).stress.attacks
    assert [test.label for test in text] == ["relearn", "quantize", "extract"]
    assert text == configured(None, "language", has_oracle=True)


def test_a_resolved_recipe_says_the_same_as_the_short_one(tiny):
    recipe = tiny("stress={seeds: 1}", "lasting={lr: 0.01}")
    again = validate(parse_yaml(to_yaml(recipe), "here"))
    assert (again, again.hash) == (recipe, recipe.hash)


def test_the_places_are_every_target_the_rewound_one_and_the_end(tiny):
    recipe = tiny("claims.targets=[0.25, oracle]", "stress={}")
    assert recipe.stress.at(recipe.claims) == [0.25, "oracle", "rewound", "end"]
    own = tiny("stress.places=[end, 0.1]")
    assert own.stress.at(own.claims) == ["end", 0.1]
    assert [where_label(where) for where in ("end", 0.1, 0.25)] == ["end", "0.1", "0.25"]


def test_defaults_are_those_of_the_pilot(tiny):
    lasting = tiny("lasting={}").lasting
    assert (lasting.updates, lasting.lr, lasting.batch, lasting.rates) == (50, (0.005, 0.01, 0.02), 64, "nominal")
    assert lasting == Lasting()


def test_the_level_that_is_to_last_is_that_of_the_headline(tiny):
    assert lasting_target(tiny("claims.targets=[oracle, 0.5, 0.1]").claims) == 0.5
    assert lasting_target(tiny("claims.targets=[oracle, 0.5, 0.1]", "claims.headline.target=0.1").claims) == 0.1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stress={attacks: [{kind: relern}]}"], r"^{}stress\.attacks\.0\.kind: 'relern' is not known; allowed: .*did you mean 'relearn'"),
        (["stress={attacks: []}"], r"^{}stress\.attacks: "),
        (["stress={attacks: [{kind: quantize}, {kind: quantize}]}"], r"^{}stress\.attacks: two entries are called 'quantize'; give one a name"),
        (["stress={attacks: [{kind: quantize, name: _a}]}"], r"^{}stress\.attacks: name: '_a' is not allowed: matplotlib"),
        (["stress={attacks: [{kind: extract}]}"], r"^{}stress\.attacks\.0: 'extract' attacks language models only; those of problem 'digits' are classifier models"),
        (["stress={places: [0.2]}"], r"^{}stress\.places: '0\.2' is not in this recipe; allowed: 0\.1, 0\.5, oracle, rewound, end"),
        (["stress={places: [last]}"], r"^{}stress\.places: 'last' is no place; allowed: a target of UA, oracle, rewound, end"),
        (["stress={places: [1.5]}"], r"^{}stress\.places: 1\.5 is no place; allowed: a target of UA, oracle, rewound, end$"),
        (["stress={places: [end, 0.1, end]}"], r"^{}stress\.places: 'end' stands more than once; allowed: different places$"),
        (["stress={places: 0.1}"], r"^{}stress\.places: 0\.1 is not allowed; allowed: a list$"),
        (["lasting={lr: fast}"], r"^{}lasting\.lr: 'fast' is not allowed: input should be a valid number"),
        (["stress={methods: [scrubb]}"], r"^{}stress\.methods: 'scrubb' is not in this recipe; allowed: .*did you mean 'scrub'"),
        (["stress={methods: []}"], r"^{}stress\.methods: "),
        (["stress={seeds: 3}"], r"^{}stress\.seeds: 3, and the recipe has 2; allowed: at most 2$"),
        (["stress={seeds: 0}"], r"^{}stress\.seeds: 0 is not allowed"),
        (["stress={attack: []}"], r"^{}stress: no such key 'attack' .*did you mean 'attacks'"),
        (["stress=[]"], r"^{}stress: "),
        (["lasting={methods: [x]}"], r"^{}lasting\.methods: 'x' is not in this recipe"),
        (["lasting={lr: []}"], r"^{}lasting\.lr: "),
        (["lasting={lr: [0.1, 0.1]}"], r"^{}lasting\.lr: .*more than once"),
        (["lasting={lr: -1}"], r"^{}lasting\.lr\.?0?: "),
        (["lasting={updates: 0}"], r"^{}lasting\.updates: 0 is not allowed"),
        (["lasting={batch: 1}"], r"^{}lasting\.batch: 1 is not allowed"),
        (["lasting={rates: best}"], r"^{}lasting\.rates: 'best' is not allowed; allowed: nominal, all"),
        (["lasting={}", "claims.targets=[oracle]"], r"^{}claims\.targets: lasting needs a level of UA, which 'oracle' is not"),
        (["lasting={}", "claims.headline.target=oracle"], r"^{}claims\.headline\.target: lasting needs a level of UA"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_key(tiny, overrides, message):
    with pytest.raises(RecipeError, match=message.format(r".*tiny\.yaml with overrides: ")):
        tiny(*overrides)


def test_a_block_may_be_made_in_python():
    test = STRESS_TESTS.get("quantize")()
    assert Stress(attacks=[test]).attacks == [test]
