"""Measurements: each prints its figures with the machine they are from. None of them is a test."""
