"""The authority in the APIServices: in ours and no other's, always, and never twice."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from aiohttp import web

from inflight.serve.ca_bundle import APISERVICES

SECRETS = "/api/v1/namespaces/inflight-system/secrets"
APIS = "/apis/apiregistration.k8s.io/v1/apiservices"
SERVICE = ("inflight-system", "inflight")
FIRST, SECOND, THIRD = APISERVICES


def text(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def patches(*replicas: Any) -> int:
    return sum(replica.writes(*APISERVICES) for replica in replicas)


async def test_a_patch_holds_the_bundle_and_nothing_else(cluster: Any, start: Any, eventually: Any) -> None:
    await cluster.apiservice(FIRST, groupPriorityMinimum=100, versionPriority=7)
    version = cluster.objects[APIS, FIRST]["metadata"]["resourceVersion"]
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    spec = {"caBundle": text(cluster.data()["ca.crt"])}
    assert {"metadata": {"resourceVersion": version}, "spec": spec} in cluster.bodies
    stored = cluster.objects[APIS, FIRST]["spec"]
    assert (stored["groupPriorityMinimum"], stored["versionPriority"]) == (100, 7)
    assert stored["service"] == {"namespace": "inflight-system", "name": "inflight", "port": 443}


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (("custom-metrics", "prometheus-adapter"), "the Service custom-metrics/prometheus-adapter"),
        (("inflight-system", "other"), "the Service inflight-system/other"),
        (("other", "inflight"), "the Service other/inflight"),
        (None, "the API server itself"),
    ],
)
async def test_one_that_points_elsewhere_is_left_alone(
    cluster: Any, start: Any, eventually: Any, service: Any, said: str
) -> None:
    await cluster.apiservice(SECOND, service, insecureSkipTLSVerify=True)
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    assert cluster.objects[APIS, SECOND]["spec"]["insecureSkipTLSVerify"] is True
    assert ("patch", SECOND) not in cluster.requests
    assert patches(replica) == 2
    [sentence] = replica.shared.problems
    assert SECOND in sentence
    assert said in sentence


async def test_one_that_is_missing_is_said_and_written_once_it_comes(cluster: Any, start: Any, eventually: Any) -> None:
    await cluster.put(APIS, THIRD, None)
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    assert f"there is no APIService {THIRD}" in replica.shared.problems[0]
    await cluster.apiservice(THIRD)
    await eventually(lambda: cluster.bundle(THIRD) == replica.trusted)
    await eventually(lambda: replica.shared.problems == ())


async def test_one_that_becomes_ours_or_another_s(cluster: Any, start: Any, eventually: Any) -> None:
    await cluster.apiservice(FIRST, ("keda", "metrics"))
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    await cluster.apiservice(FIRST)
    await eventually(lambda: cluster.bundle(FIRST))
    await cluster.apiservice(FIRST, ("keda", "metrics"), caBundle=text(b"theirs"))
    await eventually(lambda: "keda/metrics" in "".join(replica.shared.problems))
    await replica.is_at_rest()
    assert cluster.bundle(FIRST) == b"theirs"


async def test_a_cluster_without_aggregation_is_served_all_the_same(cluster: Any, start: Any, eventually: Any) -> None:
    listed = cluster._list

    def not_found(collection: str, name: str) -> dict[str, Any]:
        if collection == APIS:
            raise web.HTTPNotFound(text="404 page not found")
        plain: dict[str, Any] = listed(collection, name)
        return plain

    cluster._list = not_found
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    assert len(replica.shared.problems) == 3


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"caBundle": text(trustme.CA().cert_pem.bytes())},
        {"caBundle": text(b"garbage")},
        {"caBundle": "no base64!"},
        {"caBundle": 5},
        {"insecureSkipTLSVerify": True},
    ],
    ids=["removed", "another's", "garbage", "no base64", "a number", "skip verify"],
)
async def test_what_somebody_overwrites_is_repaired_at_once(
    cluster: Any, start: Any, eventually: Any, spec: dict[str, Any]
) -> None:
    replica = await start(look_seconds=3600.0)
    await eventually(lambda: not replica.shared.problem)
    await cluster.apiservice(SECOND, **spec)
    await eventually(lambda: replica.writes(APISERVICES[1]) == 2)
    assert cluster.bundle(SECOND) == replica.trusted
    assert not cluster.objects[APIS, SECOND]["spec"].get("insecureSkipTLSVerify")
    assert replica.shared.problems == ()
    assert not replica.shared.problem


async def test_an_authority_too_many_is_taken_out(cluster: Any, start: Any, eventually: Any) -> None:
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    await cluster.apiservice(FIRST, caBundle=text(replica.trusted + trustme.CA().cert_pem.bytes()))
    await eventually(lambda: cluster.bundle(FIRST) == replica.trusted)


async def test_nothing_is_written_where_all_is_right(cluster: Any, start: Any, eventually: Any) -> None:
    first = await start()
    await eventually(lambda: not first.shared.problem)
    # Another tool's text of the same certificates, and a change of the status.
    await cluster.apiservice(FIRST, caBundle=text(b"# ours\n" + first.trusted + b"\n\n"))
    others = [await start() for _ in range(3)]
    await eventually(lambda: not any(replica.shared.problem for replica in others))
    await cluster.put(APIS, SECOND, {**cluster.objects[APIS, SECOND], "status": {"conditions": []}})
    for replica in (first, *others):
        await replica.is_at_rest()
    assert cluster.bundle(FIRST).startswith(b"# ours")
    assert patches(first, *others) == cluster.count("patch") == 3


async def test_a_replica_that_has_not_heard_of_a_new_authority_does_not_undo_it(
    cluster: Any, start: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing, late = await start(look_seconds=3600.0), await start(look_seconds=3600.0)
    await eventually(lambda: not knowing.shared.problem and not late.shared.problem)
    old = cluster.bundle()
    monkeypatch.setattr(late.shared._reflector, "_changed", lambda _: None)
    await cluster.secret({})
    await eventually(lambda: all(cluster.bundle(name) != old for name in APISERVICES))
    await eventually(lambda: late.trusted == cluster.bundle())
    for replica in (knowing, late):
        await replica.is_at_rest(looks=0)
    assert cluster.bundle() == cluster.data()["ca.crt"]
    assert patches(knowing, late) == 6
    late.served(cluster.bundle())


async def test_one_that_becomes_another_s_between_reading_and_writing_stays_as_it_is(
    cluster: Any, start: Any, eventually: Any
) -> None:
    for name in (SECOND, THIRD):
        await cluster.put(APIS, name, None)
    await cluster.apiservice(FIRST, ("keda", "metrics"))
    replica = await start()
    await eventually(lambda: not replica.shared.problem)

    async def too_late(request: web.Request) -> web.StreamResponse:
        await cluster.apiservice(FIRST, ("keda", "metrics"))
        answer: web.StreamResponse = await cluster._write(APIS, FIRST, await request.json(), request.content_type)
        return answer

    cluster.instead = too_late
    await cluster.apiservice(FIRST)
    await eventually(lambda: cluster.instead is None)
    await replica.is_at_rest()
    assert cluster.bundle(FIRST) == b""
    assert cluster.count("patch") == 1


class Looks(Iterator[int]):
    """Without end."""

    number = 0

    def __next__(self) -> int:
        self.number += 1
        return self.number


async def overwrite(cluster: Any, looks: Iterator[int]) -> None:
    """A tool that does not want the bundle there."""
    managed = [
        {"manager": "inflight", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:caBundle": {}}},
        {"manager": "argocd", "operation": "Apply", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:caBundle": {}}},
        {"manager": "status", "operation": "Update", "time": "2026-01-03T00:00:00Z", "fieldsV1": {"f:status": {}}},
    ]
    for _ in looks:
        if cluster.bundle(FIRST):
            service = {"namespace": SERVICE[0], "name": SERVICE[1]}
            await cluster.put(APIS, FIRST, {"metadata": {"managedFields": managed}, "spec": {"service": service}})
        await asyncio.sleep(0.005)


async def test_who_overwrites_it_again_and_again_is_named_and_no_storm_comes(
    cluster: Any, start: Any, eventually: Any
) -> None:
    replicas = [await start(slow_seconds=3600.0) for _ in range(2)]
    await eventually(lambda: not any(replica.shared.problem for replica in replicas))
    async with asyncio.TaskGroup() as group:
        looks = Looks()
        tool = group.create_task(overwrite(cluster, looks))
        await eventually(lambda: all("'argocd'" in "".join(replica.shared.problems) for replica in replicas))
        seen = looks.number
        await eventually(lambda: looks.number >= seen + 20)
        tool.cancel()
    assert all(replica.writes(APISERVICES[0]) == 10 for replica in replicas if replica.writes(APISERVICES[0]) > 1)
    assert cluster.count("patch") < 60
    # The others are looked after as before.
    await cluster.apiservice(SECOND)
    await eventually(lambda: cluster.bundle(SECOND))


async def test_a_fight_that_ends_is_forgotten(
    cluster: Any, start: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await start(slow_seconds=0.05)
    await eventually(lambda: not replica.shared.problem)
    async with asyncio.TaskGroup() as group:
        tool = group.create_task(overwrite(cluster, Looks()))
        await eventually(lambda: replica.writes(APISERVICES[0]) > 12)
        tool.cancel()
    assert "again after 10 times within 10 minutes" in "".join(replica.shared.problems)
    await eventually(lambda: cluster.bundle(FIRST))
    monkeypatch.setattr("inflight.serve.chore.FIGHT_SECONDS", 0.1)
    await eventually(lambda: replica.shared.problems == ())


@pytest.mark.parametrize("verb", ["list", "watch", "get", "patch"])
async def test_a_missing_grant_is_named_and_its_coming_noticed(
    cluster: Any, start: Any, eventually: Any, verb: str
) -> None:
    cluster.denied.add((verb, "apiservices"))
    replica = await start()
    await eventually(lambda: len(replica.shared.problems) == 3)
    for sentence in replica.shared.problems:
        assert "kubectl create clusterrole inflight-apiservices --verb=get,list,watch,patch" in sentence
        assert all(f"--resource-name={name}" in sentence for name in APISERVICES)
    if verb != "watch":
        await eventually(lambda: "kubectl create clusterrole" in replica.shared.problem)
    await eventually(lambda: replica.trusted)
    replica.served(cluster.data()["ca.crt"])
    cluster.denied.clear()
    await eventually(lambda: not replica.shared.problem and not replica.shared.problems)
    replica.served(cluster.bundle(THIRD))


async def test_while_the_secret_cannot_be_read_again_no_authority_is_written(
    cluster: Any, start: Any, eventually: Any
) -> None:
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    cluster.denied.add(("get", "secrets"))
    await cluster.apiservice(FIRST)
    await eventually(lambda: len(replica.shared.problems) == 2)
    said = "".join(replica.shared.problems)
    assert "--resource=secrets" in said
    assert "--resource=apiservices" not in said
    assert cluster.bundle(FIRST) == b""
    cluster.denied.clear()
    await eventually(lambda: cluster.bundle(FIRST) and replica.shared.problems == ())


async def test_rights_taken_away_in_the_middle_leave_what_is_served(cluster: Any, start: Any, eventually: Any) -> None:
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    bundle, leaf = cluster.bundle(), replica.served(cluster.bundle())
    cluster.denied = {
        (verb, kind) for verb in ("get", "list", "watch", "update", "patch") for kind in ("secrets", "apiservices")
    }
    cluster.drop_watches()
    await cluster.apiservice(FIRST)
    await eventually(lambda: len(replica.shared.problems) == 4)
    assert replica.served(bundle) == leaf
    assert replica.shared.problem == ""
    cluster.denied = set()
    await eventually(lambda: cluster.bundle(FIRST) == bundle and replica.shared.problems == ())
