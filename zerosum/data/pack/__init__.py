"""Records to one packed, memory-mapped set: duplicates, content, findings, the report of `prepare`."""
