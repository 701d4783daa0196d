"""Our release as a semantic version: what kubectl and other clients of Kubernetes can read."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight import __version__
from inflight.serve.api.release import to_semver

SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)
"""As semver.org gives it."""


@pytest.mark.parametrize(
    ("pep440", "semver"),
    [
        ("0.1.0.dev0", "0.1.0-dev.0"),
        ("0.1.0", "0.1.0"),
        ("1", "1.0.0"),
        ("1.2", "1.2.0"),
        ("1.2.3.4.5", "1.2.3+4.5"),
        ("2026.01.02", "2026.1.2"),
        ("1.2.3a1", "1.2.3-alpha.1"),
        ("1.2.3b2", "1.2.3-beta.2"),
        ("1.2rc3", "1.2.0-rc.3"),
        ("1.2c3", "1.2.0-rc.3"),
        ("1.2.3rc1.dev4", "1.2.3-rc.1.dev.4"),
        ("1.2.3.post4", "1.2.3+post.4"),
        ("1.2.3-4", "1.2.3+post.4"),
        ("1.2.3a1.post2", "1.2.3-alpha.1+post.2"),
        ("1.2.3.post4.dev5", "1.2.3-dev.5+post.4"),
        ("1.2.3+ubuntu.1", "1.2.3+ubuntu.1"),
        ("1.2.3+Ubuntu-01_x", "1.2.3+ubuntu.01.x"),
        ("1.2.3.dev4+g0123abc", "1.2.3-dev.4+g0123abc"),
        ("1!2.0", "2.0.0+epoch.1"),
        ("0!2.0", "2.0.0"),
        ("v1.0", "1.0.0"),
        (" 1.0 ", "1.0.0"),
        ("1.0.Alpha", "1.0.0-alpha.0"),
        ("1.0_BETA-02", "1.0.0-beta.2"),
        ("1.0-preview", "1.0.0-rc.0"),
        ("1.0.rev3", "1.0.0+post.3"),
        ("1.0DEV", "1.0.0-dev.0"),
    ],
)
def test_each_part_has_its_place(pep440: str, semver: str) -> None:
    assert to_semver(pep440) == semver
    assert SEMVER.fullmatch(semver)


@pytest.mark.parametrize(
    "text", ["", "x", "1.0+", "1.0+a..b", "1.0 beta", "1..0", "-1", "1.0.dev.x", "1!", "1.0\n2", "١.٢"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no version as PEP 440 has them"):
        to_semver(text)


def test_our_own_release_has_one() -> None:
    assert SEMVER.fullmatch(to_semver(__version__))


NUMBER = st.integers(0, 2026).map(str) | st.sampled_from(["007", "00"])
SEPARATOR = st.sampled_from(["", ".", "-", "_"])


@st.composite
def versions(draw: st.DrawFn) -> str:
    def maybe(*words: str) -> str:
        return draw(st.just("") | st.builds("{}{}{}{}".format, SEPARATOR, st.sampled_from(words), SEPARATOR, NUMBER))

    epoch = draw(st.just("") | NUMBER.map("{}!".format))
    release = ".".join(draw(st.lists(NUMBER, min_size=1, max_size=5)))
    local = draw(st.just("") | st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), min_size=1).map(".".join))
    stages = maybe("a", "b", "c", "rc", "pre", "preview", "alpha", "beta") + maybe("post", "rev", "r") + maybe("dev")
    return epoch + release + stages + (f"+{local}" if local else "")


@settings(max_examples=200)
@given(versions())
def test_every_version_of_pep_440_becomes_a_semantic_one(pep440: str) -> None:
    assert SEMVER.fullmatch(to_semver(pep440))
