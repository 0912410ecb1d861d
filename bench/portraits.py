"""How many portraits a second one process draws: python bench/portraits.py [SIDE ...]"""

import sys
import time

from zerosum.data.synthetic.portraits import arrays

SECONDS, CHUNK = 5.0, 100


def rate(side: int) -> tuple[float, float]:
    """Portraits a second over some seconds, and in the fastest chunk of them, on one core."""
    arrays(0, 10, (side, side))
    count, fastest, started = 0, float("inf"), time.perf_counter()
    while (now := time.perf_counter()) - started < SECONDS:
        arrays(count, count + CHUNK, (side, side))
        count += CHUNK
        fastest = min(fastest, time.perf_counter() - now)
    return count / (time.perf_counter() - started), CHUNK / fastest


if __name__ == "__main__":
    for side in [int(word) for word in sys.argv[1:]] or [32, 64, 128, 256]:
        mean, best = rate(side)
        print(f"{side:4d} px: {mean:5.0f} portraits/s on one core (fastest {CHUNK}: {best:.0f}/s)")
