"""Run data on disk: the run folder, checkpoints, the report, and the task of a run."""
