"""Tensors in, tensors out: layers, networks, losses and augmentation. Nothing here knows data, training or a recipe."""
