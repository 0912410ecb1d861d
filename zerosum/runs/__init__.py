"""What lies on disk of a run: its folder, its checkpoints, its report, and what it is for (task)."""
