"""Data: from whatever the user has to one packed, memory-mapped set that is read by the batch.

`sources` says what a DATA word can be, `images` decodes, `conform` makes all alike, `survey` decides what alike means,
`prepare` packs and reports, `open` packs once into the cache, `order` says which images come next.
"""
