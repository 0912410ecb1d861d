"""Training for each task: one file each, found by the task of a recipe (`TRAINING[recipe.task]`)."""
