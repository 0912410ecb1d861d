"""Train and resume: one plan of all settings, data, tasks, and what a user should know before and during a run."""
