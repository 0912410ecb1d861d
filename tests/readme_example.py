"""The example of the README, word for word, so that `mypy` reads it as a user's program (tests/test_words.py)."""

import zerosum

run = zerosum.train("dcgan", "photos/", images=200_000, out="runs/photos")  # the same options as the command
model = zerosum.load("runs/photos", task="generate")  # or classify, translate: type checkers then know
images = model.sample(16, seed=0)  # uint8 (16, H, W, C)
