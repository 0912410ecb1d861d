"""The report of a run, made from its run folder only."""
