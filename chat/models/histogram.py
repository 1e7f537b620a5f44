"""Many durations as one number: how many lie between each two bounds, nine decimal digits a count.

Adding two such numbers adds every count, so `sum()` in Postgres joins histograms of any days and people.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

FIRST_MS = 10.0
STEP = 1.2
# From 10 ms to half an hour.
BOUNDS_MS = tuple(FIRST_MS * STEP**i for i in range(67))
DIGITS = 9
MAX_DIGITS = (len(BOUNDS_MS) + 1) * DIGITS


def in_sql(column: str) -> str:
    """The SQL that makes the histogram of a column of milliseconds; null where it is."""
    bounds = ",".join(f"{bound:.3f}" for bound in BOUNDS_MS)
    return f"('1e' || {DIGITS} * width_bucket({column}, '{{{bounds}}}'::float8[]))::numeric"


def percentile(histogram: int | None, share: float) -> float | None:
    """The milliseconds that `share` of the durations stay below, some 10 % off at most; None without any."""
    counts = _counts(histogram)
    if not sum(counts):
        return None
    wanted = share * sum(counts)
    for place, so_far in enumerate(accumulate(counts)):
        if so_far >= wanted:
            low = BOUNDS_MS[place - 1] if place else 0.0
            high = BOUNDS_MS[place] if place < len(BOUNDS_MS) else low
            return high - (high - low) * (so_far - wanted) / counts[place]
    raise AssertionError("The counts add up to their sum.")


@lru_cache(maxsize=1)  # each is asked for two percentiles in turn
def _counts(histogram: int | None) -> list[int]:
    counts = []
    while histogram:
        histogram, count = divmod(histogram, 10**DIGITS)
        counts.append(count)
    return counts
