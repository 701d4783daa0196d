"""Go's numbers in Python: integers that wrap, IEEE division by zero, and floats that become int32 or int64.

The controller computes in int32, int64 and float64. Python's integers do not overflow and its floats refuse to divide
by zero, so each place where upstream can leave the range goes through one of these functions. Only the conversion of
an out-of-range float depends on the processor: amd64's CVTTSD2SL/Q answer the smallest integer, arm64's FCVTZS
saturates and turns NaN into 0.
"""

import math

MAX_INT32 = 2**31 - 1
MIN_INT32 = -(2**31)
MAX_INT64 = 2**63 - 1
MIN_INT64 = -(2**63)
_MASK_32 = 2**32 - 1
_MASK_64 = 2**64 - 1


def wrap_int32(number: int) -> int:
    """What is left of `number` in an int32: the low 32 bits."""
    if MIN_INT32 <= number <= MAX_INT32:
        return number
    return ((number + 2**31) & _MASK_32) - 2**31


def wrap_int64(number: int) -> int:
    """What is left of `number` in an int64: the low 64 bits."""
    if MIN_INT64 <= number <= MAX_INT64:
        return number
    return ((number + 2**63) & _MASK_64) - 2**63


def quotient(dividend: int, divisor: int) -> int:
    """Go's int64 division: towards zero. The divisor is not 0."""
    if dividend >= 0 and divisor > 0:
        return dividend // divisor
    result = abs(dividend) // abs(divisor)
    return wrap_int64(-result if (dividend < 0) != (divisor < 0) else result)


def divide(dividend: float, divisor: float) -> float:
    """IEEE division: by zero it is an infinity with the right sign, or NaN."""
    if divisor:
        return dividend / divisor
    if not dividend or math.isnan(dividend) or math.isnan(divisor):
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def _to_integer(number: float, smallest: int, largest: int, saturate: bool) -> int:
    if math.isnan(number):
        return 0 if saturate else smallest
    if number >= largest + 1:
        return largest if saturate else smallest
    if number <= smallest - 1:
        return smallest
    return int(number)


def to_int32(number: float, saturate: bool) -> int:
    """Go's `int32(float64)`, towards zero; `saturate` as on arm64, else as on amd64."""
    if -2147483649.0 < number < 2147483648.0:
        return int(number)
    return _to_integer(number, MIN_INT32, MAX_INT32, saturate)


def to_int64(number: float, saturate: bool) -> int:
    """Go's `int64(float64)`, towards zero; `saturate` as on arm64, else as on amd64."""
    if -9223372036854775808.0 <= number < 9223372036854775808.0:
        return int(number)
    return _to_integer(number, MIN_INT64, MAX_INT64, saturate)


def ceiling_int32(number: float, saturate: bool) -> int:
    """`int32(math.Ceil(number))`."""
    if -2147483648.0 <= number <= 2147483647.0:
        return math.ceil(number)
    return to_int32(number if math.isnan(number) or math.isinf(number) else float(math.ceil(number)), saturate)


def ceiling_int64(number: float, saturate: bool) -> int:
    """`int64(math.Ceil(number))`. Doubles that large have no fraction, so the ceiling is exact."""
    if -9223372036854775808.0 <= number < 9223372036854775808.0:
        return math.ceil(number)
    return to_int64(number, saturate)
