"""Packs records into one memory-mapped set: duplicates, content hashes, findings, the report of `prepare`."""
