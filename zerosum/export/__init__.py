"""A trained network for others: files that other programs open, a page that runs it, and the check of both."""
