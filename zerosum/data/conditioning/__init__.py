"""What an image is known to show: classes, tags, attributes, bins of numbers."""
