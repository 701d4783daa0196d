"""How a value leaves: thousandths, canonical, never more than one thousandth from the truth, never zero for
something.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inflight.objects import parse_quantity
from inflight.serve.api.wire import to_quantity, to_timestamp


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1e-12, "1m"),
        (0.0004, "1m"),
        (0.001, "1m"),
        (0.0016, "2m"),
        (0.016, "16m"),
        (0.1 + 0.2, "300m"),
        (0.5, "500m"),
        (1.0, "1"),
        (1.005, "1005m"),
        (2.5, "2500m"),
        (10.5, "10500m"),
        (24.000000000000004, "24"),
        (100.0, "100"),
        (999.9999, "1k"),
        (1000.0, "1k"),
        (1024.0, "1024"),
        (1500.0, "1500"),
        (10000.0, "10k"),
        (20500.0, "20500"),
        (1e6, "1M"),
        (2.5e6, "2500k"),
        (1e9, "1G"),
    ],
)
def test_known_values(value: float, text: str) -> None:
    assert to_quantity(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, -1e-300, 1e300, 9.3e15, 1.8e16])
def test_what_is_no_amount_has_no_quantity(value: float) -> None:
    assert to_quantity(value) is None


@given(st.floats(min_value=0, max_value=9e15))
def test_what_the_hpa_reads_is_the_value_to_one_thousandth_upwards(value: float) -> None:
    text = to_quantity(value)
    assert text is not None
    milli = parse_quantity(text).milli_value()
    assert milli >= value * 1000 * (1 - 2e-9)
    assert milli <= value * 1000 * (1 + 1e-15) + 1
    assert (milli == 0) == (value == 0)


def test_time_is_cut_to_the_second() -> None:
    assert to_timestamp(1_800_000_000.999999) == "2027-01-15T08:00:00Z"
    assert to_timestamp(0.0) == "1970-01-01T00:00:00Z"
