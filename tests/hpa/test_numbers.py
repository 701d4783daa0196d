"""Go's integers and floats."""

import math

import pytest

from inflight.hpa.numbers import (
    MAX_INT32,
    MAX_INT64,
    MIN_INT32,
    MIN_INT64,
    ceiling_int32,
    ceiling_int64,
    divide,
    quotient,
    to_int32,
    wrap_int32,
    wrap_int64,
)


def test_integers_wrap() -> None:
    assert wrap_int32(MAX_INT32 + 1) == MIN_INT32
    assert wrap_int32(MIN_INT32 - 1) == MAX_INT32
    assert wrap_int64(MAX_INT64 + 1) == MIN_INT64
    assert wrap_int64(2**64 + 5) == 5


@pytest.mark.parametrize(("dividend", "divisor", "result"), [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3)])
def test_integer_division_goes_towards_zero(dividend: int, divisor: int, result: int) -> None:
    assert quotient(dividend, divisor) == result


def test_the_smallest_integer_divided_by_minus_one_wraps() -> None:
    assert quotient(MIN_INT64, -1) == MIN_INT64


def test_division_by_zero_is_ieee() -> None:
    assert divide(1.0, 0.0) == math.inf
    assert divide(-1.0, 0.0) == -math.inf
    assert divide(1.0, -0.0) == -math.inf
    assert math.isnan(divide(0.0, 0.0))
    assert divide(1.0, 4.0) == 0.25


@pytest.mark.parametrize(
    ("number", "amd64", "arm64"),
    [
        (2.2, 3, 3),
        (-2.9, -2, -2),
        (2147483646.5, MAX_INT32, MAX_INT32),
        (2147483647.5, MIN_INT32, MAX_INT32),
        (-2147483648.9, MIN_INT32, MIN_INT32),
        (math.inf, MIN_INT32, MAX_INT32),
        (-math.inf, MIN_INT32, MIN_INT32),
        (math.nan, MIN_INT32, 0),
    ],
)
def test_a_ceiling_becomes_an_int32_as_the_processor_does_it(number: float, amd64: int, arm64: int) -> None:
    assert ceiling_int32(number, saturate=False) == amd64
    assert ceiling_int32(number, saturate=True) == arm64


@pytest.mark.parametrize(
    ("number", "amd64", "arm64"),
    [
        (2.2, 3, 3),
        (2.0**63, MIN_INT64, MAX_INT64),
        (-(2.0**63), MIN_INT64, MIN_INT64),
        (math.nan, MIN_INT64, 0),
        (-math.inf, MIN_INT64, MIN_INT64),
    ],
)
def test_a_ceiling_becomes_an_int64_as_the_processor_does_it(number: float, amd64: int, arm64: int) -> None:
    assert ceiling_int64(number, saturate=False) == amd64
    assert ceiling_int64(number, saturate=True) == arm64


def test_a_cut_goes_towards_zero() -> None:
    assert to_int32(-3.7, saturate=False) == -3
    assert to_int32(1e12, saturate=False) == MIN_INT32
    assert to_int32(1e12, saturate=True) == MAX_INT32
