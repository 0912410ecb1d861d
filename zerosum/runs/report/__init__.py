"""What a person opens to see how a run went; everything is read from the run folder."""
