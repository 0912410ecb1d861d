"""Measures of a generator, each with what it is worth."""
