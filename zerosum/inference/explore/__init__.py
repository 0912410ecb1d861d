"""Explore the latent space of a trained generator: walks, arithmetic, projection of an image, directions.

Each module has a function of a loaded model that returns tensors or frames, and another that writes files."""
