"""Where a pod's page may be, and where it was found.

The places are asked one after another, in their order, until one shows a page of an engine that the catalogue knows; a
sidecar's page is no success. That place is then remembered, also while it fails, until the pod restarts. A walk through
all places without success is one failure of the pod. With a single place there is nothing to look for.
"""

from collections.abc import Iterable, Mapping, Sequence

from yarl import URL

from inflight.signals.series import Silence
from inflight.sources.scrape import Failure, FailureReason

OF_THE_SERVER: frozenset[FailureReason] = frozenset({"refused", "unreachable", "name", "tls"})
"""Failures before anything was asked: the other paths of the same host and port have them too, so they are not tried
in the same walk. (A page that does not come in time may be the fault of its path alone.)"""

_SHOWN_REASONS = 4
_SHOWN_PLACES = 4
_REASON_LENGTH = 80
_PATH_LENGTH = 40


class Places:
    """The walk through the places of one pod; asks nothing itself."""

    def __init__(self, urls: Sequence[URL]) -> None:
        self._urls = tuple(urls)
        self._at = 0
        self._found = len(self._urls) == 1
        self._last_found: URL | None = None
        self._met: dict[URL, Failure] = {}
        self._forgotten = False

    @property
    def url(self) -> URL:
        """The place to ask, or that is being asked."""
        return self._urls[self._at]

    @property
    def count(self) -> int:
        return len(self._urls)

    @property
    def searching(self) -> bool:
        """No place has been found, so that what is met at `url` has to be judged."""
        return not self._found or self._forgotten

    @property
    def under_way(self) -> bool:
        """In the middle of a walk: another place is to be asked, whatever the last one said."""
        return bool(self._met) or self._forgotten

    def begin(self) -> None:
        """Before each attempt: what was to be forgotten is forgotten now, so that no answer is taken for that of
        another place.
        """
        if self._forgotten:
            self._forgotten = False
            self._found = False
            self._at = 0
            self._met.clear()

    def forget(self) -> None:
        """The next attempt looks for the page anew; what is being asked at this moment settles nothing."""
        self._forgotten = len(self._urls) > 1

    def found(self) -> None:
        """The page is at `url`."""
        if not self._forgotten:
            self._found = True
            self._last_found = self.url
            self._met.clear()

    def not_here(self, failure: Failure) -> Failure | None:
        """The page is not at `url`: None while there is another place to ask, at the end what was met at all of them.

        The reason of that is the one at the place where the page last was; before it ever was, that of the first place
        where somebody listens.
        """
        if self._forgotten:
            return None
        if self._found:
            return failure
        self._met[self.url] = failure
        self._move_on(failure)
        if self._at < len(self._urls):
            return None
        met, self._met, self._at = self._met, {}, 0
        return Failure(_reason(met, self._last_found), _sentence(met), _silence(met.values()))

    @property
    def silence(self) -> Silence:
        """What the places mean that this walk has asked so far; "" where it has asked none."""
        return _silence(self._met.values()) if self._met else ""

    def _move_on(self, failure: Failure) -> None:
        origin = self.url.origin()
        self._at += 1
        while (
            failure.reason in OF_THE_SERVER and self._at < len(self._urls) and self._urls[self._at].origin() == origin
        ):
            self._met[self._urls[self._at]] = failure
            self._at += 1


def _reason(met: Mapping[URL, Failure], last_found: URL | None) -> FailureReason:
    if last_found is not None and last_found in met:
        return met[last_found].reason
    return next((failure.reason for failure in met.values() if failure.reason != "refused"), "refused")


def _silence(met: Iterable[Failure]) -> Silence:
    """One place that could hide a page is enough; beside a place that answers, one where nobody listens is no news."""
    found = {failure.silence for failure in met}
    if found <= {"refused"}:
        return "refused"
    return "no_engine" if found <= {"refused", "no_engine"} else "unreadable"


def _sentence(met: Mapping[URL, Failure]) -> str:
    """`no known engine's page at :8080, connection refused at :8000 and :8001`; bounded, whatever was met."""
    places: dict[str, list[URL]] = {}
    for url, failure in met.items():
        places.setdefault(failure.text, []).append(url)
    told = [f"{_clip(text, _REASON_LENGTH)} at {_listed(urls, met)}" for text, urls in places.items()]
    left_out = len(told) - _SHOWN_REASONS
    return ", ".join(told[:_SHOWN_REASONS]) + (f", and {left_out} other failures" if left_out > 0 else "")


def _listed(urls: Sequence[URL], all_urls: Mapping[URL, Failure]) -> str:
    shown = [_place(url, all_urls) for url in urls[:_SHOWN_PLACES]]
    left_out = len(urls) - len(shown)
    last = f"{left_out} more" if left_out else shown.pop() if len(shown) > 1 else ""
    return ", ".join(shown) + (f" and {last}" if last else "")


def _place(url: URL, all_urls: Mapping[URL, Failure]) -> str:
    """What tells a place from the others: host, port, path. Never the query, which may carry a secret."""
    hosts = {one.host for one in all_urls}
    paths = {one.raw_path for one in all_urls}
    origins = {one.origin() for one in all_urls}
    host = f"{url.host_subcomponent}" if len(hosts) > 1 else ""
    port = f":{url.port}" if len(origins) > 1 or len(paths) == 1 else ""
    return host + port + (_clip(url.raw_path, _PATH_LENGTH) if len(paths) > 1 else "")


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
