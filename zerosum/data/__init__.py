"""Data: from the user's files to one packed, memory-mapped data set that is read in batches.

`sources` resolves DATA, `decode` decodes images and converts them to one shape, `scan` reads headers and chooses that
shape, `pack` packs and reports, `open` packs once into the cache, `sampler` chooses the images of each batch."""
