"""Luck by name: a number drawn for (seed, stream, index) is the same whoever asks, and however often.

Policies are compared on the same luck: pod 3 takes as long to start in one fleet as in the other, whatever was drawn
for other things before it. A generator with a state could not promise that, so each draw is a hash of its name.
"""

from hashlib import blake2b


def uniform(seed: int, stream: str, index: int) -> float:
    """A number in [0, 1), evenly spread, from the named stream."""
    digest = blake2b(f"{seed}/{stream}/{index}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53


def between(low: float, high: float, seed: int, stream: str, index: int) -> float:
    """A number in [low, high), evenly spread, from the named stream."""
    return low + (high - low) * uniform(seed, stream, index)
