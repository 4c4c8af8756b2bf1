"""Fine-tuning by hand."""

import pytest

from ungrok.methods.finetune import Finetune


def test_steps_descend_the_retain_loss_in_order(linear, close):
    walk = linear.walk(Finetune(lr=0.3, momentum=0, weight_decay=0, epochs=2))
    w = linear.weight
    for weights, loss, batch in zip(walk.weights, walk.losses, linear.retain * 2, strict=True):
        assert loss == pytest.approx(linear.value(w, batch).item())
        w = w - 0.3 * linear.gradient(w, batch)
        close(weights, w)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_first_update_of_the_other_optimizers(linear, close, optimizer):
    """The first Adam update is ``−lr·g/(|g| + 1e-8)``; adam decays through g, adamw beside it."""
    lr, decay = 0.01, 0.1
    walk = linear.walk(Finetune(optimizer=optimizer, lr=lr, weight_decay=decay, updates=1))
    w, g = linear.weight, linear.gradient(linear.weight, linear.retain[0])
    if optimizer == "adam":
        g, start = g + decay * w, w
    else:
        start = w * (1 - lr * decay)
    close(walk.weights[0], start - lr * g / (g.abs() + 1e-8))
