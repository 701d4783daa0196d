# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""Spoils valid cases at a few places: other values, other types, keys and entries gone, doubled or exchanged."""

import copy
import json
import re
from typing import Any

from spelling import MAX_INT64, Draw

UNTOUCHED = {("id",), ("kubernetes",)}
"""The name of the answer, and the release that the judge plays."""
HUGE_POWER = re.compile(r'"[-+.0-9]*[eE][-+]?\d{4,}"')
"""Upstream works such a power of ten out digit by digit; the engine refuses it."""
WAIT = re.compile(r'"(?:syncPeriodSeconds|lateSeconds|editedAfterSeconds)": (-?[0-9][-+.0-9eE]*)')
A_DAY = 86_400
"""The judge's queue ticks twice a second, in virtual time too: years would take it hours."""
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    7,
    0.5,
    -0.0,
    1e-9,
    2**31 - 1,
    2**31,
    -(2**31),
    MAX_INT64,
    -MAX_INT64 - 1,
    1e18,
    "",
    " ",
    "x",
    "0",
    "1",
    "-1",
    "1e3",
    "500u",
    "0.1",
    "1Ki",
    "8Ei",
    "app=web",
    "cpu",
    "memory",
    "Value",
    "AverageValue",
    "Utilization",
    "True",
    "False",
    "Unknown",
    "Running",
    "Pending",
    "Failed",
    "Max",
    "Min",
    "Disabled",
    "Pods",
    "Percent",
    "Ready",
    "2000-01-01T00:00:00Z",
    "1999-12-31T23:59:59.999999999Z",
    "2000-01-01T01:00:00+01:00",
    "é",
    "a" * 70,
    [],
    {},
    [None],
    [{}],
    {"": ""},
)


def mutant(draw: Draw, case: dict[str, Any]) -> dict[str, Any]:
    """A spoiled copy."""
    while True:
        spoiled = spoil_somewhere(draw, case)
        text = json.dumps(spoiled)
        if not HUGE_POWER.search(text) and all(float(wait) < A_DAY for wait in WAIT.findall(text)):
            return spoiled


def spoil_somewhere(draw: Draw, case: dict[str, Any]) -> dict[str, Any]:
    spoiled: dict[str, Any] = copy.deepcopy(case)
    for _ in range(draw.weighted((6, 1), (3, 2), (1, 4))):
        places = [path for path in walk(spoiled, ()) if path and path not in UNTOUCHED]
        if places:
            # Deep places are many; one of each depth is as likely.
            depth = draw.choice(sorted({len(path) for path in places}))
            spoil(draw, spoiled, draw.choice([path for path in places if len(path) == depth]))
    return spoiled


def walk(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, each in value.items():
            found += walk(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value[:6]):
            found += walk(each, (*path, index))
    return found


def spoil(draw: Draw, case: Any, path: tuple[Any, ...]) -> None:
    place = case
    for part in path[:-1]:
        place = place[part]
    key = path[-1]
    match draw.weighted((5, "value"), (5, "near"), (2, "gone"), (1, "twice"), (1, "other"), (0.5, "key")):
        case "value":
            alike = [value for value in VALUES if type(value) is type(place[key])]
            place[key] = copy.deepcopy(draw.choice(alike if alike and draw.chance(0.7) else VALUES))
        case "near":
            place[key] = near(draw, place[key])
        case "gone":
            del place[key]
        case "twice" if isinstance(place, list):
            place.insert(key, copy.deepcopy(place[key]))
        case "key" if isinstance(place, dict):
            place[draw.choice([key.upper(), f"{key}x", key[:-1], f" {key}"])] = place.pop(key)
        case _:
            paths = [each for each in walk(case, ()) if each and each[0] != "id"]
            place[key] = copy.deepcopy(at(case, draw.choice(paths)))


def at(case: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        case = case[part]
    return case


def near(draw: Draw, value: Any) -> Any:
    """Something like it."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + draw.choice([1, -1, 2**31, -(2**32), 2**62])
    if isinstance(value, float):
        return draw.choice([-value, value * 1e9, value + 1e-9])
    if isinstance(value, str):
        cut = draw.randint(0, len(value))
        return draw.choice(
            [
                value + draw.choice("xX0.-_/ ,=!()~"),
                value[:cut] + value[cut + 1 :],
                value[:cut] + draw.choice("mkeE.-+ 0") + value[cut:],
                value.upper(),
                f" {value} ",
                value * 2,
                value[::-1],
            ]
        )
    if isinstance(value, list):
        return draw.choice([value[::-1], value[1:], value * 2])
    if isinstance(value, dict):
        return dict(list(value.items())[1:])
    return 0
