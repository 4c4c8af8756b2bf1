"""What every other package uses: objectives, scores, seeds, gradients, registries."""
