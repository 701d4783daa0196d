"""When a pod is scraped next. Pure: seconds in, seconds out, all of the collector's clock.

Each pod has its own moment in the interval, drawn from a hash of its name: scrapes that all begin at once hold up
everything else in the process (p99 of the metrics API with 400 to 800 pods: 38 to 72 ms; spread, 0.6 to 1.5 ms).
"""

import hashlib
import math

SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 5.0
LARGEST_SHARE = 0.01
"""Of the interval, for a scrape: a page takes its server 3 to 30 ms on the thread that answers requests too."""

DEADLINE_SECONDS = 5.0
"""For one scrape, in wall time. Longer than the interval on purpose: an engine whose loop is held up (by a request's
images, say) answers when it is free again, and an attempt that was given up makes it write the page once more. Only
the pod's own next scrape waits meanwhile."""

LONGEST_BACK_OFF_SECONDS = 5.0
"""Between two attempts on a pod that fails. An attempt costs little; a pod that is found again late costs a frozen
autoscaler. A value is fresh for 15 s: with the first waits (1 and 2 s) three attempts fit in, even if each of them
hangs until its deadline."""

LONGEST_COSTLY_BACK_OFF_SECONDS = 60.0
"""Between two attempts on a pod whose pages are large and no use, such as one beyond a limit: each costs as much as
hundreds of ordinary ones."""

_WALK_SECONDS = 0.5
"""For the pauses of one walk through the places where a pod's page may be: done within a second, and not in one go."""

_SMOOTHING = 0.2


def phase(namespace: str, name: str, uid: str = "") -> float:
    """The pod's moment in each interval, 0 <= phase < 1; the same in every process, spread evenly over many pods."""
    return _hash_ratio(f"{namespace}/{name}/{uid}")


def interval_seconds(smoothed_duration_seconds: float) -> float:
    """The interval where the user gave none: stretched so far that a scrape takes its share of it at most."""
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, smoothed_duration_seconds / LARGEST_SHARE))


def smooth(before_seconds: float | None, measured_seconds: float) -> float:
    """The exponentially smoothed duration of a scrape: ten scrapes replace nine tenths of the memory.

    A duration counts as at most twice of what asks for the longest interval, so that a pod that hung is not read
    slowly for minutes afterwards.
    """
    measured_seconds = min(measured_seconds, 2 * LONGEST_SECONDS * LARGEST_SHARE)
    if before_seconds is None:
        return measured_seconds
    return before_seconds + _SMOOTHING * (measured_seconds - before_seconds)


def next_due(due: float, now: float, interval: float) -> float:
    """The next of the moments `due`, `due + interval`, ... that is not just passing; missed ones are left out."""
    return due + interval * max(0, math.floor((now - due) / interval + 0.1) + 1)


def back_off_seconds(
    failures: int, shortest: float, key: str, longest_seconds: float = LONGEST_BACK_OFF_SECONDS
) -> float:
    """The wait after so many failures in a row: doubling from `shortest` to the longest, and never below `shortest`.

    Less up to a quarter, drawn from a hash, so that pods that failed together do not come back together.
    """
    longest = max(shortest, longest_seconds)
    doubled = min(longest, shortest * 2.0 ** min(failures - 1, 16))
    return max(shortest, doubled * (1.0 - 0.25 * _hash_ratio(f"{key}#{failures}")))


def between_places_seconds(places: int, wanted: float | None) -> float:
    """The pause before the next of the places of one pod, where its page is looked for."""
    shortest = SHORTEST_SECONDS if wanted is None else min(SHORTEST_SECONDS, wanted)
    return _WALK_SECONDS * shortest / places


def _hash_ratio(text: str) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
