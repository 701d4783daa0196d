"""Quantiles from cumulative buckets, by the rules of Prometheus' histogram_quantile (promql/quantile.go, release 3)."""

import math
from collections.abc import Sequence

_SMALL = 1e-12
"""Relative difference below which two neighbouring counts are taken as equal (smallDeltaTolerance upstream)."""


def bucket_quantile(quantile: float, edges: Sequence[float], counts: Sequence[float]) -> float:
    """The value below which `quantile` (0..1) of the observations lie, interpolated inside its bucket.

    `edges` grow and end with +Inf; `counts` are cumulative. NaN where there is nothing to tell: no observation, fewer than
    two buckets, no +Inf edge. In the +Inf bucket the answer is the highest finite edge: the true value is above it.
    """
    if not edges or edges[-1] != math.inf or len(edges) < 2:
        return math.nan
    counts = _monotonic(counts)
    total = counts[-1]
    if total == 0 or math.isnan(total):
        return math.nan
    rank = quantile * total
    at = _first_reaching(counts, rank)
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


def _first_reaching(counts: Sequence[float], rank: float) -> int:
    """The first bucket whose count reaches the rank; the last one where none before it does."""
    for at, count in enumerate(counts):
        if count >= rank:
            return at
    return len(counts) - 1


def _monotonic(counts: Sequence[float]) -> Sequence[float]:
    """Counts that never fall: rates of a moving page can be off by a rounding error, or by one observation."""
    if all(first <= second for first, second in zip(counts, counts[1:], strict=False)):
        return counts
    result = list(counts)
    for at in range(1, len(result)):
        before, here = result[at - 1], result[at]
        if here < before or math.isclose(here, before, rel_tol=_SMALL):
            result[at] = before
    return result
