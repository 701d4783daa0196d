"""The words an emulated server says: one word a token, the same for the same key, whatever the batching of a stream."""

_WORDS = (
    *("queue", "slot", "token", "batch", "cache", "block", "page", "step", "seat", "load", "wave", "drain"),
    *("crest", "ebb", "flow", "tide", "spill", "pool", "gate", "lane", "turn", "beat", "pulse", "span"),
    *("hold", "pass", "wait", "move", "rise", "fall", "grow", "shrink"),
)


def words(key: int, first: int, last: int) -> str:
    """The text of the tokens `first` to `last` (without `last`, counted from 0) of the answer with this key."""
    count = len(_WORDS)
    # The count is a power of two, so with an odd stride every key walks through all words in an order of its own.
    stride = 1 + 2 * (key % (count // 2))
    start = key // count
    return "".join(" " + _WORDS[(start + index * stride) % count] for index in range(first, last))
