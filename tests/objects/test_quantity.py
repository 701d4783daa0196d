"""Quantities against apimachinery: its own answers (data/quantities.json), and what must hold for any text."""

import copy
import json
import math
import pickle
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.objects import INT64_MAX, INT64_MIN, Quantity, QuantityError, parse_quantity
from inflight.objects.quantity import MAX_EXPONENT, MAX_TEXT_LENGTH

# Made with k8s.io/apimachinery 0.37.2 on amd64. "float" is AsApproximateFloat64 of the canonical text.
VECTORS = json.loads((Path(__file__).parent / "data" / "quantities.json").read_text())

SCALES = {
    "": Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": Fraction(1000),
    "M": Fraction(10**6), "G": Fraction(10**9), "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30),
}  # fmt: skip


@st.composite
def written(draw: st.DrawFn) -> tuple[str, Fraction]:
    """A text and the number it means, none outside what an int64 holds in thousandths."""
    whole = draw(st.integers(0, 10**6))
    decimals = draw(st.text("0123456789", max_size=8))
    sign = draw(st.sampled_from(["", "-", "+"]))
    suffix = draw(st.sampled_from([*SCALES, "e2", "E-3", "e+1"]))
    number = Fraction(f"{whole}.{decimals}" if decimals else whole)
    scale = Fraction(10) ** int(suffix[1:]) if suffix[:1] in {"e", "E"} else SCALES[suffix]
    text = f"{sign}{whole}{'.' + decimals if decimals else ''}{suffix}"
    return text, (-1 if sign == "-" else 1) * number * scale


def away_from_zero(number: Fraction) -> int:
    return math.ceil(number) if number > 0 else math.floor(number)


def reading(text: str) -> dict[str, object]:
    quantity = parse_quantity(text)
    return {
        "text": text,
        "canonical": str(quantity),
        "milli": quantity.milli_value(),
        "value": quantity.value(),
        "float": quantity.as_float(),
    }


def test_texts_mean_what_apimachinery_reads_in_them() -> None:
    expected = [{**vector, "float": float(vector["float"])} for vector in VECTORS["accepted"]]
    assert [reading(vector["text"]) for vector in VECTORS["accepted"]] == expected


@pytest.mark.parametrize("text", VECTORS["refused"])
def test_a_text_that_apimachinery_refuses_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("milli", "text"),
    [(0, "0"), (1, "1m"), (16, "16m"), (500, "500m"), (1000, "1"), (1004, "1004m"), (2500, "2500m"), (10_500, "10500m"),
     (100_000, "100"), (999_999, "999999m"), (1_000_000, "1k"), (1_024_000, "1024"), (1_500_000, "1500"),
     (10_000_000, "10k"), (20_500_000, "20500"), (10**9, "1M"), (2_500_000_000, "2500k"), (10**12, "1G"),
     (-2500, "-2500m"), (12_000_000, "12k"), (INT64_MIN, "-9223372036854775808m"), (INT64_MAX, "9223372036854775807m")],
)  # fmt: skip
def test_thousandths_print_as_a_metrics_api_prints_them(milli: int, text: str) -> None:
    assert str(Quantity.from_milli(milli)) == text
    assert Quantity.from_milli(milli).milli_value() == milli


@pytest.mark.parametrize(
    ("milli", "text"),
    [(1_023_000, "1023"), (1_024_000, "1Ki"), (3_100_000, "3100"), (1_048_576_000, "1Mi"), (524_288_000_000, "500Mi"),
     (500_000_000_000, "500000000"), (1_234_567_500, "1234567500m"), (1_000_000, "1k"), (12_000_000, "12000"),
     ((128 << 20) * 1000, "128Mi"), (1_536_000, "1536"), (-1_024_000, "-1Ki"), (0, "0")],
)  # fmt: skip
def test_memory_prints_with_binary_suffixes_where_whole(milli: int, text: str) -> None:
    # Below 1024 it prints as a decimal (1k); above, what 1024 does not divide stays as it is (12000).
    assert str(Quantity.from_milli(milli, binary=True)) == text


@pytest.mark.parametrize(
    ("text", "milli"),
    [("500u", 1), ("1500u", 2), ("-500u", -1), ("9223372036854776", -9223372036854775616), ("1E", 0), ("1e16", 0),
     ("9223372036854775807", -1000), ("8Ei", -1000), ("-12.34567890123456789", -12344), ("-12.3456789", -12346),
     ("0.0000000001", 1)],
)  # fmt: skip
def test_the_short_and_the_long_form_round_and_overflow_each_in_its_way(text: str, milli: int) -> None:
    assert parse_quantity(text).milli_value() == milli


def test_a_tolerance_is_the_double_of_its_stored_form() -> None:
    assert parse_quantity("0.3").as_float() == 300 * 1e-3
    assert parse_quantity("0.3").as_float() != 3 * 1e-1
    assert parse_quantity("0.018").as_float() == 18 * 1e-3 != 0.018
    assert parse_quantity("0.0005").as_float() == 500 * 1e-6


@given(written())
@settings(max_examples=120)
def test_the_number_is_the_one_that_is_written(case: tuple[str, Fraction]) -> None:
    text, number = case
    quantity = parse_quantity(text)
    # Digits below nano are rounded away from zero when the text is read.
    stored = Fraction(away_from_zero(number * 10**9), 10**9)
    milli = quantity.milli_value()
    if quantity.is_long and number < 0:
        # Below zero the long form goes one up, whatever is cut off; what has no int64 of nanos is wrapped before.
        cut = math.trunc(stored * 1000)
        assert milli == cut + (cut != stored * 1000) or stored * 10**9 < INT64_MIN
    else:
        assert milli == away_from_zero(stored * 1000)
    assert quantity.sign == (number > 0) - (number < 0)
    assert quantity.is_zero == (number == 0)
    assert quantity.is_negative == (number < 0)


@given(written())
@settings(max_examples=120)
def test_the_canonical_text_means_the_same(case: tuple[str, Fraction]) -> None:
    quantity = parse_quantity(case[0])
    again = parse_quantity(str(quantity))
    assert again == quantity
    assert str(again) == str(quantity)
    assert hash(again) == hash(quantity)
    if again.is_long == quantity.is_long or not quantity.is_negative:
        assert again.milli_value() == quantity.milli_value()
    assert again.as_float() == quantity.as_float()


@given(written(), written())
@settings(max_examples=60)
def test_quantities_are_ordered_by_their_numbers(one: tuple[str, Fraction], other: tuple[str, Fraction]) -> None:
    a, b = parse_quantity(one[0]), parse_quantity(other[0])
    x, y = (Fraction(away_from_zero(number * 10**9), 10**9) for number in (one[1], other[1]))
    assert (a < b, a <= b, a == b, a != b, a >= b, a > b) == (x < y, x <= y, x == y, x != y, x >= y, x > y)


@given(st.text(max_size=30))
@settings(max_examples=120)
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    try:
        quantity = parse_quantity(text)
    except QuantityError as error:
        assert "quantity" in str(error)
    else:
        assert INT64_MIN <= quantity.milli_value() <= INT64_MAX
        assert isinstance(quantity.as_float(), float)


@given(st.text("+-.0123456789eEinumkKMGTP", max_size=40))
@settings(max_examples=120)
def test_texts_of_the_right_letters_do_not_break_it(text: str) -> None:
    try:
        quantity = parse_quantity(text)
    except QuantityError:
        return
    assert INT64_MIN <= quantity.milli_value() <= INT64_MAX
    assert INT64_MIN <= quantity.value() <= INT64_MAX
    assert isinstance(quantity.as_float(), float)


def test_equal_amounts_are_equal_however_they_are_written() -> None:
    assert parse_quantity("1000m") == parse_quantity("1") == parse_quantity("1e0") == parse_quantity("0.001k")
    assert len({parse_quantity(text) for text in ("1024", "1Ki", "1024000m", "1.024k")}) == 1
    assert parse_quantity("1") != "1"


def test_a_number_beyond_the_suffixes_loses_its_scale_as_upstream_prints_it() -> None:
    # The API server stores 1000E as 1; saying anything else would show a target that no controller sees.
    assert str(parse_quantity("1000E")) == "1"


def test_the_negative_keeps_its_format() -> None:
    assert str(-parse_quantity("1Ki")) == "-1Ki"
    assert str(-parse_quantity("-1.5")) == "1500m"
    assert -parse_quantity("9223372036854775808") == parse_quantity("-9223372036854775808")


@pytest.mark.parametrize(
    ("text", "says"),
    [("1K", "'k' is meant?"), ("128mi", "'Mi' is meant?"), ("1e1001", "exponents"), ("9" * 300, "256 characters"),
     ("", "no quantity"), ("five", "no quantity")],
)  # fmt: skip
def test_a_refusal_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(QuantityError, match=says.replace("?", r"\?")):
        parse_quantity(text)


def test_lengths_and_exponents_are_bounded() -> None:
    assert parse_quantity("1" * MAX_TEXT_LENGTH).is_long
    assert parse_quantity(f"1e{MAX_EXPONENT}").milli_value() == 0
    assert parse_quantity(f"1e-{MAX_EXPONENT}").milli_value() == 1
    for text in ("1" * (MAX_TEXT_LENGTH + 1), f"1e{MAX_EXPONENT + 1}", "1e99999999999999999999"):
        with pytest.raises(QuantityError):
            parse_quantity(text)


def test_thousandths_outside_int64_are_refused() -> None:
    with pytest.raises(QuantityError):
        Quantity.from_milli(INT64_MAX + 1)


def test_a_quantity_survives_copying_and_pickling() -> None:
    quantity = parse_quantity("1.5Gi")
    assert copy.deepcopy(quantity) == quantity
    assert str(pickle.loads(pickle.dumps(quantity))) == str(quantity)
    assert repr(quantity) == "Quantity('1536Mi')"
