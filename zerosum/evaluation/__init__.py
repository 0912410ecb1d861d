"""Scores of finished runs: generators against real images, classifiers against labels, runs beside one another."""
