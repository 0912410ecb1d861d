"""Conditions: classes, tags, attributes, binned numbers."""
