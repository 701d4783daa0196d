# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""A seeded source of randomness, and how numbers, times and selectors may be written."""

import datetime
import random
from typing import Any

MAX_INT64 = 2**63 - 1
EPOCH_2000 = 946_684_800


class Draw(random.Random):
    """A seeded source with the turns of phrase that a generator needs."""

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def weighted(self, *pairs: tuple[float, Any]) -> Any:
        return self.choices([value for _, value in pairs], [weight for weight, _ in pairs])[0]

    def near(self, number: float) -> int:
        """An integer at or right beside a number."""
        return round(number) + self.choice([0, 0, 0, 1, -1, 2, -2])


def iso(second: float) -> str:
    """RFC 3339 of a second of Unix time, with a fraction only where there is one."""
    whole = int(second // 1)
    text = datetime.datetime.fromtimestamp(whole, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = second - whole
    return text + (f".{round(fraction * 1000):03d}" if fraction else "") + "Z"


def quantity(draw: Draw, milli: int) -> str:
    """A text for thousandths, in one of the many spellings; some are rounded or overflow on the way back."""
    if draw.chance(0.02):
        return draw.choice(
            [
                "500u",
                "1500u",
                "1e3",
                "1E",
                "8Ei",
                "9223372036854775807",
                "9223372036854776",
                "0.0000000001",
                "1n",
                "-12.34567890123456789",
                "-0.0005",
                "1Ki",
                "1.5Gi",
                "0.1Mi",
                "12e-3",
                "3.14159265358979323846",
                "2e16",
            ]
        )
    style = draw.randrange(8)
    whole, rest = divmod(abs(milli), 1000)
    sign = "-" if milli < 0 else ""
    if style == 0 and not rest:
        return f"{sign}{whole}"
    if style == 1:
        return f"{sign}{whole}.{rest:03d}"
    if style == 2 and abs(milli) < 10**12:
        return f"{milli}000u"
    if style == 3 and abs(milli) < 10**12:
        return f"{milli * 1000 - draw.choice([0, 1, 999])}u"
    if style == 4 and not rest and whole and whole % 1024 == 0:
        return f"{sign}{whole // 1024}Ki"
    if style == 5 and not rest:
        return f"{sign}{whole}e0" if draw.chance(0.5) else f"{sign}{whole * 1000}e-3"
    if style == 6 and whole and not rest and whole % 1000 == 0:
        return f"{sign}{whole // 1000}k"
    return f"{milli}m"


def label_selector(draw: Draw) -> dict[str, Any] | None:
    shape = draw.weighted((6, "none"), (1, "empty"), (3, "labels"), (2, "expressions"), (1, "both"), (0.3, "wrong"))
    if shape == "none":
        return None
    if shape == "empty":
        return {}
    labels = {key: str(draw.randrange(3)) for key in draw.sample(["a", "b", "model"], draw.randint(1, 2))}
    if shape == "labels":
        return {"matchLabels": labels}
    if shape == "wrong":
        return {
            "matchExpressions": [
                draw.choice(
                    [
                        {"key": "k", "operator": "Like", "values": ["x"]},
                        {"key": "k", "operator": "In"},
                        {"key": "k", "operator": "Exists", "values": ["x"]},
                        {"key": "-", "operator": "Exists"},
                        {"key": "k", "operator": "In", "values": ["a b"]},
                    ]
                )
            ]
        }
    operator = draw.choice(["In", "NotIn", "Exists", "DoesNotExist"])
    values = {"values": draw.sample(["b", "a", "c"], draw.randint(1, 3))} if operator in {"In", "NotIn"} else {}
    selector: dict[str, Any] = {"matchExpressions": [{"key": draw.choice(["k", "z"]), "operator": operator, **values}]}
    if shape == "both":
        selector["matchLabels"] = labels
        if draw.chance(0.5):
            selector["matchExpressions"].append({"key": draw.choice(["a", "k", "y"]), "operator": "Exists"})
    return selector


def key_suffix(selector: dict[str, Any] | None) -> str:
    """How the format writes a metric's selector."""
    if not selector:
        return ""
    parts = [(key, f"{key}={value}") for key, value in selector.get("matchLabels", {}).items()]
    for each in selector.get("matchExpressions", []):
        key, values = each["key"], ",".join(sorted(each.get("values", [])))
        parts.append(
            (
                key,
                {
                    "In": f"{key} in ({values})",
                    "NotIn": f"{key} notin ({values})",
                    "Exists": key,
                    "DoesNotExist": f"!{key}",
                }.get(each["operator"], key),
            )
        )
    return "?" + ",".join(text for _, text in sorted(parts))
