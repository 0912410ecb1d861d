"""Utilities shared by all packages: errors, atomic files, seeds, text, weights, pictures."""
