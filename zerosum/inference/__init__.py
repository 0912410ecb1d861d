"""Trained networks at work: sample, translate, tag, and explore a generator's latent space."""
