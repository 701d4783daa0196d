"""int64 as Go computes with it: sums and products wrap, division goes towards zero. Python's integers do neither."""

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)


def wrap_int64(number: int) -> int:
    """The low 64 bits of `number`, read as a signed integer."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def truncated_division(dividend: int, divisor: int) -> int:
    """`dividend / divisor` of Go: towards zero, where Python's `//` goes down."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient
