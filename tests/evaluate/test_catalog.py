"""The list of metrics holds everything that is computed."""

from ungrok.evaluate.catalog import FUNCTIONS, metrics
from ungrok.evaluate.distances import MEASURES
from ungrok.evaluate.membership import ATTACKS


def test_every_metric_has_a_line_of_plain_text():
    found = metrics()
    assert found.keys() >= {
        "UA",
        "RA",
        "TA",
        "forget_loss",
        *FUNCTIONS,
        *MEASURES,
        *(f"membership {n}" for n in ATTACKS),
    }
    for name, text in found.items():
        assert text.endswith("."), name
        assert text[0].isupper() or name == "js_divergence", name
        assert "`" not in text, name
        assert not text.startswith("Return"), name
    assert found["UA"] == "Accuracy on the forget data; larger means more is remembered."
    assert found["zrf"].startswith("Zero-retrain-forgetting score")
