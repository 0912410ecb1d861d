"""Trained networks, loaded from run folders and exported ones: one file a kind."""
