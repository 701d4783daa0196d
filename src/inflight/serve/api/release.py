"""Our release as clients of Kubernetes can read it: a semantic version.

The Python package index has versions of its own form (PEP 440: `0.1.0.dev0`, `1.2rc1`, `1.0.post2`), on which
apimachinery's `version.ParseSemantic`, and so kubectl, ends with an error. What a semantic version (semver.org, 2.0.0)
has no word for, post-releases, local versions and epochs, goes behind the plus sign. Only the name is translated: where
both order pre-releases, `dev` comes after `alpha` and `beta` here, and there before them.
"""

import re

_PEP_440 = re.compile(
    r"""\s*v?
    (?:(?P<epoch>[0-9]+)!)?
    (?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>[0-9]*))?
    (?P<post>-(?P<bare_post>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>[0-9]*))?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_number>[0-9]*))?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?
    \s*""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_STAGES = {"a": "alpha", "alpha": "alpha", "b": "beta", "beta": "beta"}
"""The other four spellings are release candidates."""


def to_semver(version: str) -> str:
    """`0.1.0.dev0` as `0.1.0-dev.0`. Raises ValueError where the text is no version of PEP 440."""
    found = _PEP_440.fullmatch(version)
    if found is None:
        raise ValueError(f"{version[:60]!r} is no version as PEP 440 has them, such as 1.2.3 or 1.2.3.dev0")
    numbers = [str(int(number)) for number in found["release"].split(".")]
    core = ".".join([*numbers, "0", "0"][:3])
    stages = []
    if found["pre"]:
        stages += [_STAGES.get(found["pre"].lower(), "rc"), _number(found["pre_number"])]
    if found["dev"]:
        stages += ["dev", _number(found["dev_number"])]
    build = numbers[3:]
    if found["epoch"] and int(found["epoch"]):
        build += ["epoch", _number(found["epoch"])]
    if found["post"]:
        build += ["post", _number(found["bare_post"] or found["post_number"])]
    if found["local"]:
        build += re.split("[-_.]", found["local"].lower())
    return core + (f"-{'.'.join(stages)}" if stages else "") + (f"+{'.'.join(build)}" if build else "")


def _number(digits: str | None) -> str:
    """Without leading zeros, which semantic versions do not have; no digits are PEP 440's implicit 0."""
    return str(int(digits or "0"))
