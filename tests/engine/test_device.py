"""What is set for the whole process before training."""

import subprocess
import sys

import pytest

CODE = """
import resource
import numpy as np
from zerosum.engine.device import keep_pages

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

keep_pages()
np.ones(64 * 2**20, np.uint8)
before = faults()
for _ in range(10):
    np.ones(64 * 2**20, np.uint8)
print(faults() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_freed_memory_is_used_again_without_page_faults():
    """In a process of its own, since memory of other threads is kept elsewhere."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100  # fresh memory is 16,384 pages each, or 32 large ones
