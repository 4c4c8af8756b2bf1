"""Words that every layer shares: objectives, scores, seeds, gradients, registries."""
