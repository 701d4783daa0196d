"""Quantiles from cumulative buckets, by the rules of Prometheus' histogram_quantile (promql/quantile.go, release 3)."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

_SMALL = 1e-12
"""Relative difference below which two neighbouring counts are taken as equal (smallDeltaTolerance upstream)."""


def bucket_quantiles(quantiles: Sequence[float], edges: Sequence[float], counts: Sequence[float]) -> list[float]:
    """For each of `quantiles` (0..1) the value below which that part of the observations lies, by interpolation.

    `edges` grow and end with +Inf; `counts` are cumulative. NaN where there is nothing to tell: no observation, fewer
    than two buckets, no +Inf edge. In the +Inf bucket the answer is the highest finite edge: the true value is above.
    """
    if not edges or edges[-1] != math.inf or len(edges) < 2:
        return [math.nan] * len(quantiles)
    counts = _monotonic(counts)
    total = counts[-1]
    if not total > 0:
        return [math.nan] * len(quantiles)
    return [_quantile(quantile * total, edges, counts) for quantile in quantiles]


def _quantile(rank: float, edges: Sequence[float], counts: Sequence[float]) -> float:
    at = bisect_left(counts, rank, 0, len(counts) - 1)
    if at == len(edges) - 1:
        return edges[-2]
    if at == 0 and edges[0] <= 0:
        return edges[0]
    start, count = 0.0, counts[at]
    if at > 0:
        start = edges[at - 1]
        count -= counts[at - 1]
        rank -= counts[at - 1]
    return start + (edges[at] - start) * (rank / count)


def _monotonic(counts: Sequence[float]) -> Sequence[float]:
    """Counts that never fall: increases of a moving page can be off by a rounding error, or by one observation."""
    if all(first <= second for first, second in pairwise(counts)):
        return counts
    result = list(counts)
    for at in range(1, len(result)):
        before, here = result[at - 1], result[at]
        if here < before or math.isclose(here, before, rel_tol=_SMALL):
            result[at] = before
    return result
