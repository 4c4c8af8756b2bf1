"""A rescaled model is another model with the same function."""

import pandas as pd
import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.data import TensorBatches
from ungrok.study.preflight import preflight


def test_rescaled_models_have_the_same_scores_and_another_norm(study, opened, model_of):
    _, _, results = study
    plain, louder = (model_of(opened("base", stage)) for stage in ("grokked", "louder"))
    before, after = (run.objective.score(run.model, TensorBatches(run.data.test)).logits for run in (plain, louder))
    assert torch.equal(before, after)
    rows = results.rows[(results.rows["dose"] == 0) & (results.rows["arm"] == "base")]
    names = ["UA", "RA", "TA", "forget_loss", "oracle_UA"]
    one, two = (rows[rows["stage"] == stage].sort_values("method")[names] for stage in ("grokked", "louder"))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), two.reset_index(drop=True))
    norms = results.mechanism[(results.mechanism["measure"] == "weight_norm") & (results.mechanism["layer"] == "model")]
    values = norms[norms["arm"] == "base"].set_index("stage")["value"]
    assert values["louder"] > 1.5 * values["grokked"]


def test_a_model_that_cannot_be_rescaled_is_refused_before_training(controlled):
    with pytest.raises(RecipeError, match=r"controls.louder: arm 'base': rescaled: takes a model of at least two"):
        preflight(controlled("model.depth=1"))
