"""Kubernetes' resource.Quantity: the numbers in objects and metrics (`500m`, `1.5`, `128Mi`, `12e6`), exactly.

A quantity is a decimal number with a way of being printed. Small texts are kept in a *short* form (an int64 mantissa
and a power of ten), all others in a *long* form (a decimal of any length, rounded away from zero to nano). The two
overflow and round differently when they become int64, and the autoscaler's arithmetic sees the difference.
Source: k8s.io/apimachinery pkg/api/resource (quantity.go, amount.go, math.go, scale_int.go), 0.36 and 0.37, on amd64.
"""

import re
from functools import lru_cache
from typing import Final, Literal

from inflight.objects.integers import INT64_MAX, INT64_MIN, truncated_division, wrap_int64

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

MAX_TEXT_LENGTH: Final = 256
"""Longer texts are refused. An int64 with nine decimals has 29 characters."""

MAX_EXPONENT: Final = 1000
"""`1e1000` is read and `1e1001` refused: upstream computes such powers digit by digit, which no input should decide."""

_NUMBER = re.compile(r"([+-]?)(0*)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)")
_TEN_TO: Final = {"": 0, "n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_TWO_TO: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _TEN_TO.items()}
_BINARY_SUFFIX: Final = ("", *_TWO_TO)

_SHORT_DIGITS = 18  # decimal digits that always fit an int64
_NANO = -9
_MILLI = -3
# Steps of a power of ten for which upstream has a single multiplication, whose wrapped product it hands on.
_WRAPPING_STEPS = (1, 2, 3, 6, 9)


class QuantityError(ValueError):
    """A text that is no quantity, or a number outside what a quantity can hold."""


class Quantity:
    """A number as the Kubernetes API writes it: immutable, equal and ordered by value, printed in canonical form.

    A class of its own and not a struct: on the wire it is a plain string, which the hooks of `inflight.objects.wire`
    turn into this and back.
    """

    __slots__ = ("_exponent", "_format", "_is_long", "_milli", "_unscaled")

    def __init__(self, unscaled: int, exponent: int, form: Format, is_long: bool) -> None:
        """For this module's own functions; everyone else has `parse_quantity` and `from_milli`."""
        self._unscaled = unscaled
        self._exponent = exponent
        self._format = form
        self._is_long = is_long
        self._milli: int | None = None

    @classmethod
    def from_milli(cls, milli: int, binary: bool = False) -> "Quantity":
        """From int64 thousandths, as metrics APIs and the autoscaler's status have them.

        `binary` prints whole numbers with Ki, Mi and so on, as memory is. Raises QuantityError outside int64.
        """
        if not INT64_MIN <= milli <= INT64_MAX:
            raise QuantityError(f"{milli} thousandths do not fit a quantity: at most {INT64_MAX} do")
        return cls(milli, _MILLI, "BinarySI" if binary else "DecimalSI", False)

    @property
    def format(self) -> Format:
        return self._format

    @property
    def is_long(self) -> bool:
        """Whether it is a big decimal and not an int64 with a scale: the two overflow differently."""
        return self._is_long

    @property
    def is_zero(self) -> bool:
        return self._unscaled == 0

    @property
    def is_negative(self) -> bool:
        return self._unscaled < 0

    @property
    def sign(self) -> int:
        """-1, 0 or 1."""
        return (self._unscaled > 0) - (self._unscaled < 0)

    def milli_value(self) -> int:
        """The int64 number of thousandths: away from zero in the short form, wrapping where upstream wraps."""
        milli = self._milli
        if milli is None:
            # A decision asks each pod's requests again and again.
            milli = self._milli = self._scaled_to(_MILLI)
        return milli

    def value(self) -> int:
        """The int64 whole number, rounded and wrapped like `milli_value`."""
        return self._scaled_to(0)

    def as_float(self) -> float:
        """The double that the controller computes with: mantissa times 10**exponent of the canonical form.

        `0.3` is stored as `300m`, so 300 * 1e-3 and not 3 * 1e-1, which is another double.
        """
        return _parse(str(self))._to_float()

    def _to_float(self) -> float:
        try:
            base = float(self._unscaled)
        except OverflowError:
            base = float("-inf") if self._unscaled < 0 else float("inf")
        return base if self._exponent == 0 else base * _power_of_ten(self._exponent)

    def _scaled_to(self, scale: int) -> int:
        if self._unscaled == 0:
            return 0
        step = self._exponent - scale
        if self._is_long:
            return _scale_long(self._unscaled, step)
        return _scale_short(self._unscaled, step)

    def _whole(self) -> int | None:
        """The value as an integer, None where it has a fraction."""
        if self._exponent >= 0:
            return int(self._unscaled * 10**self._exponent)
        whole, rest = divmod(self._unscaled, 10**-self._exponent)
        return None if rest else int(whole)

    def __str__(self) -> str:
        if self._unscaled == 0:
            return "0"
        if self._format == "BinarySI":
            whole = self._whole()
            if whole is not None and not -1024 < whole < 1024:
                return _canonical_binary(whole)
        digits, exponent = _without_trailing_zeros(self._unscaled, self._exponent)
        excess = exponent % 3
        digits += "0" * excess
        exponent -= excess
        if self._format == "DecimalExponent":
            return f"{digits}e{exponent}" if exponent else digits
        # Upstream has no suffix above E and prints none there: 1000E becomes 1. It is what the API server then stores.
        return digits + _DECIMAL_SUFFIX.get(exponent, "")

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    def _compare(self, other: "Quantity") -> int:
        mine, theirs = self._unscaled, other._unscaled
        step = self._exponent - other._exponent
        if step > 0:
            mine *= 10**step
        elif step < 0:
            theirs *= 10**-step
        return (mine > theirs) - (mine < theirs)

    def __eq__(self, other: object) -> bool:
        return self._compare(other) == 0 if isinstance(other, Quantity) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._compare(other) < 0 if isinstance(other, Quantity) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self._compare(other) <= 0 if isinstance(other, Quantity) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return self._compare(other) > 0 if isinstance(other, Quantity) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self._compare(other) >= 0 if isinstance(other, Quantity) else NotImplemented

    def __hash__(self) -> int:
        return hash(0 if self._unscaled == 0 else _without_trailing_zeros(self._unscaled, self._exponent))

    def __neg__(self) -> "Quantity":
        unscaled = -self._unscaled if self._is_long else wrap_int64(-self._unscaled)
        return Quantity(unscaled, self._exponent, self._format, self._is_long)


def parse_quantity(text: str) -> Quantity:
    """The quantity a text means, by upstream's grammar, which takes `1.`, `.5` and `+` too. Raises QuantityError."""
    if len(text) > MAX_TEXT_LENGTH:
        raise QuantityError(
            f"a quantity has at most {MAX_TEXT_LENGTH} characters; this one, {text[:20]}..., has {len(text)}"
        )
    return _parse(text)


# The same few texts come again with every pod and every metric; a quantity is immutable and its text short.
@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    match = _NUMBER.fullmatch(text) if text else None
    if match is None:
        raise _not_a_number(text)
    sign, zeros, whole, decimals, suffix = match.groups()
    # Upstream reads "m" or "+" as zero in the short form, and wants a digit in the long one.
    has_digit = bool(zeros or whole or decimals)
    whole = whole or "0"  # an empty or zero whole part counts as one digit
    decimals = decimals or ""
    exponent = _TEN_TO.get(suffix)
    form: Format = "DecimalSI"
    if exponent is None:
        power = _TWO_TO.get(suffix)
        if power is not None:
            return _wanting(has_digit, text, _binary(sign, whole, decimals, power))
        exponent = _written_exponent(text, suffix)
        form = "DecimalExponent"
    unscaled = int(whole + decimals)
    if sign == "-":
        unscaled = -unscaled
    exponent -= len(decimals)
    if len(whole) + len(decimals) <= _SHORT_DIGITS and exponent >= _NANO:
        return Quantity(unscaled, exponent, form, False)
    return _wanting(has_digit, text, Quantity(*_to_nano(unscaled, exponent), form, True))


def _wanting(has_digit: bool, text: str, quantity: Quantity) -> Quantity:
    if quantity.is_long and not has_digit:
        raise _not_a_number(text)
    return quantity


def _binary(sign: str, whole: str, decimals: str, power: int) -> Quantity:
    unscaled = int(whole + decimals) << power
    if not decimals and 15 - len(whole) - power * 3 // 10 - 1 >= 0:
        return Quantity(-unscaled if sign == "-" else unscaled, 0, "BinarySI", False)
    magnitude, exponent = _to_nano(unscaled, -len(decimals))
    one = 10**-exponent
    if magnitude > INT64_MAX * one:
        magnitude, exponent = INT64_MAX, 0
    form: Format = "DecimalSI" if 0 < magnitude < one else "BinarySI"
    return Quantity(-magnitude if sign == "-" else magnitude, exponent, form, True)


def _written_exponent(text: str, suffix: str) -> int:
    """The power of ten of `e3` or `E-6`."""
    match = _EXPONENT.fullmatch(suffix)
    if match is None:
        known = [*_TEN_TO, *_TWO_TO]
        meant = next((f"; {name!r} is meant?" for name in known if name.lower() == suffix.lower()), "")
        raise QuantityError(
            f"{_shown(text)} is no quantity: the suffix {suffix!r} is none of n, u, m, k, M, G, T, P, E,"
            f" Ki, Mi, Gi, Ti, Pi, Ei or an exponent such as e3{meant}"
        )
    exponent = int(match[1])
    if abs(exponent) > MAX_EXPONENT:
        raise QuantityError(
            f"{_shown(text)} is no usable quantity: exponents from -{MAX_EXPONENT} to {MAX_EXPONENT} are read"
        )
    return exponent


def _not_a_number(text: str) -> QuantityError:
    return QuantityError(
        f"{_shown(text)} is no quantity: write a number with or without a suffix, as 2, 0.5, 500m, 1k or 128Mi"
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _to_nano(unscaled: int, exponent: int) -> tuple[int, int]:
    """The long form: rounded away from zero to nine decimals, and always written with nine. Zero stays as it is."""
    if unscaled == 0:
        return 0, exponent
    if exponent >= _NANO:
        return unscaled * 10 ** (exponent - _NANO), _NANO
    return _divide_away_from_zero(unscaled, 10 ** (_NANO - exponent)), _NANO


def _divide_away_from_zero(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor) if dividend > 0 else dividend // divisor


def _scale_short(unscaled: int, step: int) -> int:
    """An int64 mantissa moved by 10**step: away from zero downwards; upwards wrapped, or 0, where it overflows."""
    if step < 0:
        return _divide_away_from_zero(unscaled, 10**-step)
    product = int(unscaled * 10**step)
    if INT64_MIN <= product <= INT64_MAX:
        return product
    return wrap_int64(product) if step in _WRAPPING_STEPS and unscaled != INT64_MIN else 0


def _scale_long(unscaled: int, step: int) -> int:
    """A big decimal moved by 10**step, with upstream's shortcut for what it takes to be small.

    Downwards the quotient is truncated and one is added if there was a rest, also below zero. The shortcut is taken by
    every negative number, and one that does not fit an int64 is wrapped before it is divided.
    """
    if step >= 0:
        # int64(math.Pow10(n)) from 10**19 on: amd64 answers the smallest int64.
        return wrap_int64(wrap_int64(unscaled) * (10**step if step <= _SHORT_DIGITS else INT64_MIN))
    divisor = 10**-step
    if unscaled < INT64_MAX and divisor <= INT64_MAX:
        small = wrap_int64(unscaled)
        quotient = truncated_division(small, divisor)
        return quotient + 1 if quotient * divisor != small else quotient
    quotient, rest = divmod(unscaled, divisor)
    return wrap_int64(wrap_int64(quotient) + (1 if rest else 0))


def _without_trailing_zeros(unscaled: int, exponent: int) -> tuple[str, int]:
    digits = str(unscaled)
    stripped = digits.rstrip("0")
    return stripped, exponent + len(digits) - len(stripped)


def _canonical_binary(whole: int) -> str:
    times = 0
    while whole % 1024 == 0:
        whole //= 1024
        times += 1
    return f"{whole}{_BINARY_SUFFIX[times]}"


def _power_of_ten(exponent: int) -> float:
    """Go's math.Pow10: two table entries multiplied (divided below zero), which is not always the nearest double."""
    if exponent > 308:
        return float("inf")
    if exponent < -323:
        return 0.0
    steps, rest = divmod(abs(exponent), 32)
    if exponent >= 0:
        return float(f"1e{steps * 32}") * float(f"1e{rest}")
    return float(f"1e-{steps * 32}") / float(f"1e{rest}")
