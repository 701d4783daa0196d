"""The open files of the process are shared out: first what the answers are made of, then clients."""

import logging
import resource

import pytest

from inflight.cluster import Client, ClusterConfig
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.in_cluster import InCluster
from inflight.serve.open_files import (
    MAX_CONNECTIONS,
    MIN_CONNECTIONS,
    RESERVED_FILES,
    FileLimit,
    room_for_connections,
)
from inflight.serve.settings import RunSettings
from inflight.signals import shipped


class System:
    """Its two limits."""

    def __init__(self, soft: int, hard: int) -> None:
        self.soft = soft
        self.hard = hard
        self.set = 0

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.soft, self.hard

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        self.soft, self.hard = limits
        self.set += 1


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    system = System(1024, 4096)
    monkeypatch.setattr(resource, "getrlimit", system.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", system.setrlimit)
    return system


@pytest.mark.parametrize(
    ("limit", "others", "room"),
    [
        (resource.RLIM_INFINITY, 10_000, MAX_CONNECTIONS),
        (20_000, 400, MAX_CONNECTIONS),
        (1024, 0, MAX_CONNECTIONS),
        (1024, 600, 1024 - 600 - RESERVED_FILES),
        (1024, 100 + 501 + 32, 1024 - 633 - RESERVED_FILES),
        (256, 200, MIN_CONNECTIONS),
    ],
)
def test_scrapes_and_watches_have_their_files_first(system: System, limit: int, others: int, room: int) -> None:
    system.soft = limit
    assert room_for_connections(others) == room


def test_the_limit_is_raised_as_far_as_needed(system: System, caplog: pytest.LogCaptureFixture) -> None:
    files = FileLimit()
    files.make_room(100)
    assert (system.soft, system.set) == (1024, 0)
    files.make_room(1000)
    assert system.soft == 1000 + MAX_CONNECTIONS + RESERVED_FILES
    files.make_room(500)
    files.make_room(1000)
    assert (system.soft, system.set) == (1000 + MAX_CONNECTIONS + RESERVED_FILES, 1)
    assert room_for_connections(1000) == MAX_CONNECTIONS
    assert caplog.text == ""


def test_a_limit_that_is_too_low_is_said_once(system: System, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    files = FileLimit()
    for others in (4_000, 5_000, 6_000):
        files.make_room(others)
    assert system.soft == 4096
    (line,) = caplog.messages
    assert "event=few_files limit=4096 wanted=4704" in line
    assert "ulimit -Hn" in line


def test_without_a_limit_there_is_nothing_to_do(system: System) -> None:
    system.soft = resource.RLIM_INFINITY
    FileLimit().make_room(10**6)
    assert system.set == 0


def test_watches_and_requests_to_the_cluster_are_counted() -> None:
    client = Client(ClusterConfig(server="http://127.0.0.1:1", source="test"))
    pair = ("inflight-system", "inflight")
    for settings, watches in (
        (RunSettings(None, "::", 6443), 2),
        (RunSettings(None, "::", 6443, namespaces=("a", "b")), 3),
        (RunSettings(None, "::", 6443, tls_secret=pair, service=pair), 6),
    ):
        cluster = InCluster(client, client, settings, shipped(), Telemetry())
        assert cluster.connections == watches + 2 * 16
        assert cluster.most_connections == watches + 2 * 16 + 500
    asked_alone = InCluster(client, None, RunSettings(None, "::", 6443), shipped(), Telemetry())
    assert asked_alone.most_connections == asked_alone.connections == 1 + 2 * 16
