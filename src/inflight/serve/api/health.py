"""What is wrong with a process, as its health pages and its log tell it.

Kubelets ask every few seconds for ever, and the sentence may have a number of seconds in it: only that something else
is wrong than before is news, and that nothing is any more.
"""

import logging
import re
from collections.abc import Callable

import msgspec

_NUMBERS = re.compile(r"[0-9.]+")

_log = logging.getLogger(__name__)


class Ailment(msgspec.Struct, frozen=True):
    kind: str
    """One word, which stays the same for as long as this is what is wrong."""
    sentence: str


HealthCheck = Callable[[str], Ailment | None]
"""Takes `healthz`, `livez` or `readyz`; returns what is wrong, if anything is."""


def always_well(_: str) -> None:
    """As a HealthCheck."""


class HealthLog:
    """One line for each check when it begins to fail, when it fails for another reason, and when it is over."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def note(self, check: str, ailment: Ailment | None) -> None:
        """`check` is one of the few that there are."""
        what = f"{ailment.kind}: {_NUMBERS.sub('', ailment.sentence)}" if ailment is not None else ""
        if what == self._said.get(check, ""):
            return
        self._said[check] = what
        if ailment is not None:
            _log.warning("event=health check=%s ok=False kind=%s why=%r", check, ailment.kind, ailment.sentence)
        else:
            _log.info("event=health check=%s ok=True", check)
