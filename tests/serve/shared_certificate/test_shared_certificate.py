"""One certificate for all replicas, through a Secret on an API server that keeps versions."""

import asyncio
import base64
import logging
import ssl
from typing import Any

import pytest
import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from inflight.serve.ca_bundle import APISERVICES
from inflight.serve.certificates import ServingCertificate, load_certificate
from inflight.serve.shared_certificate import service_names

HOST = "inflight.inflight-system.svc"
SECRETS = "/api/v1/namespaces/inflight-system/secrets"
NAME = "inflight-serving"
DAY = 86_400.0


def foreign(authority: trustme.CA, *names: str, **keywords: Any) -> dict[str, bytes]:
    """As cert-manager fills a Secret."""
    issued = authority.issue_cert(*(names or (HOST,)), **keywords)
    return {
        "tls.crt": b"".join(pem.bytes() for pem in issued.cert_chain_pems),
        "tls.key": issued.private_key_pem.bytes(),
        "ca.crt": authority.cert_pem.bytes(),
    }


async def test_an_empty_secret_is_filled_served_and_trusted(cluster: Any, start: Any, eventually: Any) -> None:
    ends: list[float] = []
    replica = await start(served=ends.append)
    assert "has not been read yet" in replica.shared.problem
    await eventually(lambda: not replica.shared.problem, lambda: replica.shared.problem)
    assert set(cluster.data()) == {"tls.crt", "tls.key", "ca.crt", "ca.key"}
    for name in APISERVICES:
        assert cluster.bundle(name) == cluster.data()["ca.crt"] == replica.trusted
        for host in service_names("inflight-system", "inflight"):
            replica.served(cluster.bundle(name), host)
    assert cluster.count("update") == replica.writes() == 1
    leaf = x509.load_pem_x509_certificate(cluster.data()["tls.crt"])
    assert ends == [leaf.not_valid_after_utc.timestamp()]


async def test_what_else_stands_in_the_object_stays(cluster: Any, start: Any, eventually: Any) -> None:
    await cluster.put(SECRETS, NAME, {"type": "Opaque", "metadata": {"labels": {"a": "b"}, "uid": "u"}})
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    stored = cluster.objects[SECRETS, NAME]
    assert stored["metadata"]["labels"] == {"a": "b"}
    assert stored["metadata"]["uid"] == "u"
    assert stored["type"] == "Opaque"


async def test_replicas_that_start_at_once_agree_on_one_certificate(cluster: Any, start: Any, eventually: Any) -> None:
    # All read the empty Secret before the first of them writes.
    reading = 0
    everybody = asyncio.Event()
    handle = cluster._write

    async def write_when_all_have_read(*arguments: Any) -> web.Response:
        nonlocal reading
        reading += 1
        if reading >= 5:
            everybody.set()
        await everybody.wait()
        answer: web.Response = await handle(*arguments)
        return answer

    cluster._write = write_when_all_have_read
    replicas = [await start() for _ in range(5)]
    await eventually(lambda: not any(replica.shared.problem for replica in replicas))
    leaves = {replica.served(cluster.bundle()).serial_number for replica in replicas}
    assert len(leaves) == 1
    assert sum(replica.writes() for replica in replicas) == 1
    assert cluster.count("update") == 5
    assert sum(replica.writes(*APISERVICES) for replica in replicas) == len(APISERVICES)


async def test_what_another_replica_writes_is_shown_from_the_next_handshake_on(
    cluster: Any, start: Any, eventually: Any
) -> None:
    first, second = await start(), await start()
    await eventually(lambda: not first.shared.problem and not second.shared.problem)
    before = first.served(cluster.bundle())
    await cluster.secret({})
    await eventually(lambda: cluster.data() and first.serves(cluster.bundle()) and second.serves(cluster.bundle()))
    after = second.served(cluster.bundle())
    assert after != before
    assert first.served(cluster.bundle()) == after
    assert not first.shared.problem


async def test_a_leaf_in_its_last_third_is_renewed_from_the_same_authority(
    cluster: Any, start: Any, eventually: Any, clock: Any
) -> None:
    clock.ahead = -250 * DAY
    replica, other = await start(), await start()
    await eventually(lambda: not replica.shared.problem and not other.shared.problem)
    before, bundle = replica.served(cluster.bundle()), cluster.bundle()
    clock.ahead = -15 * DAY
    for each in (replica, other):
        await each.has_looked()
    assert replica.served(bundle) == before
    clock.ahead = 0
    await eventually(lambda: replica.served(bundle) != before and other.served(bundle) != before)
    assert cluster.bundle() == bundle
    assert replica.served(bundle) == other.served(bundle)
    assert replica.writes() + other.writes() == 2
    assert sum(each.writes(*APISERVICES) for each in (replica, other)) == 3


async def test_a_new_authority_is_trusted_before_it_issues_the_leaf(
    cluster: Any, start: Any, eventually: Any, clock: Any
) -> None:
    clock.ahead = -3300 * DAY
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    old = cluster.bundle()
    # 8.5 years later a leaf is due, the authority not yet.
    clock.ahead = -200 * DAY
    await eventually(lambda: replica.writes() == 2)
    leaf = replica.served(old)
    # 9 years later the authority is.
    clock.ahead = -2 * 3600
    cluster.denied.add(("patch", "apiservices"))
    await eventually(lambda: replica.writes() == 3)
    clock.ahead = 0
    await replica.has_looked()
    assert cluster.bundle() == old
    assert replica.served(old) == leaf, "nobody knows the new authority yet"
    cluster.denied.clear()
    await eventually(lambda: replica.served(cluster.bundle()) != leaf)
    both = x509.load_pem_x509_certificates(cluster.bundle())
    assert len(both) == 2
    assert x509.load_pem_x509_certificate(old) == both[1]
    new = both[0].public_bytes(encoding=Encoding.PEM)
    assert replica.serves(new)
    assert not replica.serves(old)
    assert cluster.bundle() == cluster.data()["ca.crt"]


async def test_a_new_authority_waits_an_hour_for_everybody_to_hear_of_it(
    cluster: Any, start: Any, eventually: Any, clock: Any
) -> None:
    clock.ahead = -3300 * DAY
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    clock.ahead = -200 * DAY
    await eventually(lambda: replica.writes() == 2)
    clock.ahead = -2 * 3600
    await eventually(lambda: len(x509.load_pem_x509_certificates(cluster.bundle())) == 2)
    leaf = replica.served(cluster.bundle())
    clock.ahead = -2 * 3600 + 3500
    await replica.has_looked()
    assert replica.served(cluster.bundle()) == leaf
    clock.ahead = -2 * 3600 + 3700
    await eventually(lambda: replica.served(cluster.bundle()) != leaf)


async def test_a_secret_of_cert_manager_is_used_as_it_is(
    cluster: Any, start: Any, eventually: Any, authority: trustme.CA
) -> None:
    # RSA as cert-manager makes them, where this process began with P-256.
    data = foreign(authority, key_type=trustme.KeyType.RSA)
    await cluster.secret(data, type="kubernetes.io/tls")
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    assert replica.served(cluster.bundle()).fingerprint(SHA256()) == _fingerprint(data["tls.crt"])
    renewed = foreign(authority)
    await cluster.secret(renewed, type="kubernetes.io/tls")
    await eventually(lambda: replica.served(cluster.bundle()).fingerprint(SHA256()) == _fingerprint(renewed["tls.crt"]))
    assert cluster.data() == renewed
    assert cluster.count("update") == 0
    assert replica.shared.problems == ()


@pytest.mark.parametrize(
    "oddity",
    [
        ({"names": ("another.example",)}, f"does not name {HOST}"),
        ({"ca.crt": None}, "no caBundle is written"),
        ({"ca.crt": trustme.CA().cert_pem.bytes()}, "was not issued by an authority of ca.crt"),
        ({"days": 1}, "whoever renews it is late"),
        ({"days": -1}, "ended at"),
    ],
    ids=["names", "no authority", "another authority", "late", "ended"],
)
async def test_what_is_odd_in_a_foreign_secret_is_said_and_it_is_served_all_the_same(
    cluster: Any, start: Any, eventually: Any, clock: Any, oddity: tuple[dict[str, Any], str]
) -> None:
    (change, said), authority = oddity, trustme.CA()
    data = foreign(authority, *change.get("names", ()))
    if "ca.crt" in change:
        data["ca.crt"] = change["ca.crt"] or b""
    if "days" in change:
        ends = x509.load_pem_x509_certificate(data["tls.crt"]).not_valid_after_utc
        clock.ahead = ends.timestamp() - clock.now() - change["days"] * DAY
    await cluster.secret(data)
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    assert any(said in sentence for sentence in replica.shared.problems), replica.shared.problems
    host = change.get("names", (HOST,))[0]
    shown = replica.served(authority.cert_pem.bytes(), host)
    assert shown.fingerprint(SHA256()) == _fingerprint(data["tls.crt"])
    assert cluster.data() == data
    assert cluster.count("update") == 0
    if change.get("ca.crt", b"") is None:
        assert cluster.count("patch") == 0


@pytest.mark.parametrize(
    "data",
    [
        {"tls.crt": b"garbage", "tls.key": b"garbage"},
        {"tls.crt": b"", "tls.key": b"only a key"},
        {"tls.crt": b"\xff\x00" * 50, "tls.key": b"\x00"},
        {"password": b"of a database"},
        {"ca.key": b"garbage"},
        {"ca.crt": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
    ],
)
async def test_content_that_cannot_be_used_is_refused_and_what_was_served_stays(
    cluster: Any, start: Any, eventually: Any, data: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    bundle, leaf = cluster.bundle(), replica.served(cluster.bundle())
    await cluster.secret(data)
    await eventually(lambda: replica.shared.problems)
    late = await start()
    await eventually(lambda: f"inflight-system/{NAME}: " in late.shared.problem)
    assert replica.served(bundle) == leaf
    assert cluster.bundle() == bundle
    assert cluster.data() == data
    assert cluster.count("update") == 1
    assert "only a key" not in caplog.text
    await cluster.secret({})
    await eventually(lambda: not late.shared.problem and not replica.shared.problems)
    assert replica.served(cluster.bundle()) == late.served(cluster.bundle())


async def test_our_own_authority_repairs_what_was_broken(cluster: Any, start: Any, eventually: Any) -> None:
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    bundle, good = cluster.bundle(), cluster.data()
    for key, value in (("tls.crt", b"x"), ("tls.key", good["ca.key"]), ("tls.crt", b""), ("tls.crt", good["ca.crt"])):
        before = replica.served(bundle)
        await cluster.secret({**good, key: value})
        await eventually(lambda before=before: replica.served(bundle) != before)
    assert cluster.bundle() == bundle


async def test_a_leaf_for_another_service_is_renewed(cluster: Any, start: Any, eventually: Any) -> None:
    first = await start()
    await eventually(lambda: not first.shared.problem)
    first.task.cancel()
    moved = await start(service=("elsewhere", "metrics"))
    await eventually(lambda: not moved.shared.problem)
    moved.served(cluster.data()["ca.crt"], "metrics.elsewhere.svc")


async def test_a_secret_that_is_missing_is_asked_for_and_waited_for(cluster: Any, start: Any, eventually: Any) -> None:
    await cluster.put(SECRETS, NAME, None)
    replica = await start()
    await eventually(
        lambda: "kubectl -n inflight-system create secret generic inflight-serving" in replica.shared.problem
    )
    await cluster.secret(None)
    await eventually(lambda: not replica.shared.problem)
    leaf, bundle = replica.served(cluster.bundle()), cluster.bundle()
    await cluster.put(SECRETS, NAME, None)
    await eventually(lambda: replica.shared.problems)
    assert replica.served(bundle) == leaf
    assert not replica.shared.problem


@pytest.mark.parametrize("verb", ["list", "watch", "get", "update"])
async def test_a_missing_grant_is_named_and_its_coming_noticed(
    cluster: Any, start: Any, eventually: Any, verb: str
) -> None:
    cluster.denied.add((verb, "secrets"))
    replica = await start()
    await eventually(lambda: any("--resource=secrets" in sentence for sentence in replica.shared.problems))
    if verb != "watch":
        assert "--verb=get,list,watch,update" in replica.shared.problem
        assert f"--resource-name={NAME}" in replica.shared.problem
    cluster.denied.clear()
    await eventually(lambda: not replica.shared.problem and not replica.shared.problems)
    replica.served(cluster.bundle())


async def test_an_api_server_that_is_away_takes_nothing_away(cluster: Any, start: Any, eventually: Any) -> None:
    cluster.down = True
    replica = await start()
    await eventually(lambda: "cannot be watched" in replica.shared.problem)
    cluster.down = False
    await eventually(lambda: not replica.shared.problem)
    leaf, bundle = replica.served(cluster.bundle()), cluster.bundle()
    cluster.down = True
    cluster.drop_watches()
    await eventually(lambda: len(replica.shared.problems) == 4)
    assert replica.served(bundle) == leaf
    assert not replica.shared.problem
    # What happened meanwhile is in no event any more.
    cluster.store(SECRETS, NAME, {"type": "Opaque"})
    cluster.compacted = cluster.version
    cluster.down = False
    await eventually(lambda: not replica.shared.problems and cluster.data() and replica.serves(cluster.bundle()))
    assert replica.served(cluster.bundle()) != leaf


@pytest.mark.parametrize("written", [True, False])
async def test_a_write_whose_answer_is_lost_is_looked_up(
    cluster: Any, start: Any, eventually: Any, written: bool
) -> None:
    async def lose(request: web.Request) -> web.StreamResponse:
        if written:
            await cluster._write(SECRETS, NAME, await request.json(), request.content_type)
        return web.Response(status=504, text="gateway timeout")

    cluster.instead = lose
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    assert replica.writes() == (0 if written else 1)
    replica.served(cluster.bundle())


async def test_an_answer_that_no_api_server_gives_ends_nothing(cluster: Any, start: Any, eventually: Any) -> None:
    async def nonsense(_: web.Request) -> web.StreamResponse:
        return web.json_response(["nonsense"])

    cluster.instead = nonsense
    replica = await start()
    await eventually(lambda: not replica.shared.problem)


async def test_two_installations_with_one_secret_do_not_storm(cluster: Any, start: Any, eventually: Any) -> None:
    one = await start(slow_seconds=3600.0)
    two = await start(service=("elsewhere", "metrics"), slow_seconds=3600.0)

    def gives_up(replica: Any) -> bool:
        return any("two installations" in sentence for sentence in replica.shared.problems)

    await eventually(lambda: gives_up(one) or gives_up(two))
    for each in (one, two):
        # Who has not given up by then has nothing to do any more.
        looks = each.looks
        await eventually(lambda each=each, looks=looks: gives_up(each) or each.looks >= looks + 2)
    assert cluster.count("update") <= 50
    assert one.writes() + two.writes() <= 20


async def test_no_key_is_ever_said(cluster: Any, start: Any, eventually: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    replica = await start()
    await eventually(lambda: not replica.shared.problem)
    good = cluster.data()
    await cluster.secret({**good, "tls.key": good["tls.key"][:-60], "ca.key": good["ca.key"][:-60]})
    await eventually(lambda: replica.shared.problems)
    await cluster.secret({"tls.crt": good["tls.key"], "tls.key": good["tls.crt"]})
    await eventually(lambda: any("tls.crt with tls.key" in sentence for sentence in replica.shared.problems))
    said = (
        caplog.text
        + repr(replica.shared.problems)
        + repr(replica.shared)
        + repr(replica.shared._content)
        + repr(replica.shared._loaded)
    )
    for key in ("tls.key", "ca.key"):
        for line in good[key].splitlines()[1:-1]:
            assert line.decode() not in said
        assert base64.b64encode(good[key]).decode()[20:60] not in said


async def test_a_disk_without_room_is_waited_for(
    cluster: Any, start: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = True

    def load(context: ssl.SSLContext, certificate: ServingCertificate) -> None:
        if full:
            raise ValueError("no room")
        load_certificate(context, certificate)

    monkeypatch.setattr("inflight.serve.shared_certificate.load_certificate", load)
    replica = await start()
    await eventually(lambda: "no room" in replica.shared.problem)
    full = False
    await eventually(lambda: not replica.shared.problem)
    replica.served(cluster.bundle())


def _fingerprint(chain: bytes) -> bytes:
    return x509.load_pem_x509_certificate(chain).fingerprint(SHA256())
