"""What is set for the whole process before training."""

import sys

import numpy as np
import pytest

from zerosum.engine.device import keep_pages

BLOCK = 64 * 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_freed_memory_is_used_again_without_page_faults():
    import resource

    keep_pages()
    np.ones(BLOCK, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(BLOCK, np.uint8)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 100  # fresh memory is 16,384 pages each, or 32 large ones
