"""Scores of finished runs: generators against real images, classifiers against labels, and runs side by side."""
