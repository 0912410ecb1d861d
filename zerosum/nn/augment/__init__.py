"""Data augmentation; settings load without torch."""
