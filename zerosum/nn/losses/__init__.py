"""Losses: callables and tensors in, scalars out. They step no optimiser, log nothing and know no network by name."""
