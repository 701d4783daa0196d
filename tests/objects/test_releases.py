"""Feature gates as each release has them."""

import pytest

from inflight.objects import ReleaseError, find_release, known_releases

SCALE_TO_ZERO, TOLERANCE, POD_LEVEL = "HPAScaleToZero", "HPAConfigurableTolerance", "PodLevelResources"


def test_the_defaults_of_the_gates_that_matter() -> None:
    table = {
        name: tuple(find_release(name).enabled(gate) for gate in (SCALE_TO_ZERO, TOLERANCE, POD_LEVEL, "HPAGeneration"))
        for name in known_releases()
    }
    assert table == {
        "1.32": (False, False, False, False),
        "1.33": (False, False, False, False),
        "1.34": (False, False, True, False),
        "1.35": (False, True, True, False),
        "1.36": (False, True, True, False),
        "1.37": (True, True, True, True),
    }


def test_gates_can_be_set() -> None:
    assert find_release("1.36", {SCALE_TO_ZERO: True}).enabled(SCALE_TO_ZERO)
    assert not find_release("1.37", {SCALE_TO_ZERO: False}).enabled(SCALE_TO_ZERO)
    assert find_release("1.37", {TOLERANCE: True}).enabled(TOLERANCE)


@pytest.mark.parametrize(
    ("kubernetes", "gates", "says"),
    [
        ("1.37", {TOLERANCE: False}, "locked on in Kubernetes 1.37"),
        ("1.32", {TOLERANCE: True}, "1.32 has no feature gate 'HPAConfigurableTolerance'"),
        ("1.36", {"HPAGeneration": True}, "1.36 has no feature gate 'HPAGeneration'"),
        ("1.37", {"HPAScaleTozero": True}, "has no feature gate 'HPAScaleTozero'"),
    ],
)
def test_gates_that_a_release_lacks_or_has_locked_are_refused(
    kubernetes: str, gates: dict[str, bool], says: str
) -> None:
    with pytest.raises(ReleaseError, match=says):
        find_release(kubernetes, gates)


def test_the_newest_release_is_the_default() -> None:
    assert find_release().name == known_releases()[-1] == "1.37"
    assert find_release().minor == 37
