"""Train and resume: one plan of all settings, the data, the tasks, and notes for the user before and during a run."""
