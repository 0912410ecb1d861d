"""Evaluation metrics of generators, with their uncertainty and floors."""
