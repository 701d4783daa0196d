"""Every port that Inflight's processes listen on, found in the kernel's tables and not in a list of ours; and what a
stranger gets there: health, and nothing else.
"""

import asyncio
import contextlib
import itertools
import json
import re
import ssl
from pathlib import Path

import aiohttp
import manifests
import msgspec
from stage import CheckError, Stage

from parts.asking import METRIC, external_path, object_path, pods_path, require
from parts.who_may_ask import AS_ADMIN, ask, unverified

HEALTH = ("/healthz", "/livez", "/readyz")
LISTENING = "0A"
TABLES = {"tcp": "tcp", "tcp6": "tcp", "udp": "udp", "udp6": "udp"}
NOT_HTTPS = (
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"\x00\xff" * 2000,
    b"hello\n",
    b"",
)
SECONDS = 15.0
"""A silent connection is ended before that."""
SECRETS = re.compile(
    rb"inflight_|metrics\.k8s\.io|inference|APIResourceList|goVersion|gitVersion|python|uvloop", re.IGNORECASE
)
"""Nothing of this is for strangers. The name of a path that they asked for themselves is taken out first."""


class Port(msgspec.Struct, frozen=True, order=True):
    kind: str
    number: int
    loopback_only: bool
    pid: int


async def ports(scene: Stage) -> None:
    opened = sorted({port for replica in scene.replicas for port in listening(replica.pid)})
    wanted = sorted(replica.port for replica in scene.replicas)
    require(
        [port.number for port in opened if port.kind == "tcp"] == wanted, f"ports are open besides {wanted}: {opened}"
    )
    require(not [port for port in opened if port.kind == "udp"], f"there are UDP sockets: {opened}")
    asked = sum(await asyncio.gather(*(_one_port(scene, port.number) for port in opened)))
    shown = ", ".join(f"{port.number} ({'loopback' if port.loopback_only else 'every address'})" for port in opened)
    scene.say(f"Inflight listens on {shown} and nothing else; {asked} paths: strangers get health alone")


async def _one_port(scene: Stage, port: int) -> int:
    """How many paths were asked for."""
    silence = asyncio.gather(*(_not_https(port, sent) for sent in NOT_HTTPS))
    paths = await _paths(scene, port)
    for path in paths:
        await _stranger(port, path)
        await _bad_token(port, path)
    for path in HEALTH:
        status, body = await ask(scene, path, "", None, port=port)
        require((status, body) == (200, "ok"), f"port {port} {path}: {status}: {body!r}")
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        await _stranger(port, external_path(manifests.INFERENCE), method)
    await _plain_client(port)
    await silence
    return len(paths)


def listening(pid: int) -> set[Port]:
    """Of the process and all that it has started."""
    found = set()
    for process in _family(pid):
        inodes = set()
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if match := re.fullmatch(r"socket:\[(\d+)\]", str(file.readlink())):
                        inodes.add(match[1])
        for table, kind in TABLES.items():
            for line in Path(f"/proc/{process}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, state, *rest = line.split()
                address, _, number = local.partition(":")
                # A UDP socket listens where it is bound to a port and not connected (state 07).
                if rest[5] in inodes and state == (LISTENING if kind == "tcp" else "07"):
                    found.add(Port(kind, int(number, 16), address in {"0100007F", "0" * 24 + "01000000"}, pid))
    return found


def _family(pid: int) -> set[int]:
    found, new = {pid}, [pid]
    while new:
        each = new.pop()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                children = {int(child) for child in (task / "children").read_text(encoding="ascii").split()}
                new += children - found
                found |= children
    return found


async def _paths(scene: Stage, port: int) -> list[str]:
    """All that an administrator is told of, with a question for each resource, and some that are not there."""
    status, body = await ask(scene, "/", "front-proxy", AS_ADMIN, port=port)
    require(status == 200, f"/ for an administrator: {status}")
    paths = set(json.loads(body)["paths"]) - set(HEALTH)
    for group, version in manifests.API_SERVICES:
        root = f"/apis/{group}/{version}"
        status, body = await ask(scene, root, "front-proxy", AS_ADMIN, port=port)
        require(status == 200, f"{root} for an administrator: {status}")
        names = [resource["name"] for resource in json.loads(body)["resources"]]
        require(names, f"{root} has no resources")
        # The metric is a parameter: some of each kind of object, the first and the last of them.
        for _, same in itertools.groupby(sorted(names), key=lambda name: name.rpartition("/")[0]):
            of_kind = list(same)
            for name in {*of_kind[:2], of_kind[-1]}:
                kind, _, metric = name.partition("/")
                paths.add(f"{root}/namespaces/{manifests.INFERENCE}/" + (f"{kind}/*/{metric}" if metric else kind))
    paths |= {
        "/", "/version", "/metrics", "/debug/pprof", "/openapi/v2", "/openapi/v3", "/healthz/etcd", "/nothing",
        "/readyz/../metrics", "//metrics", "/apis/", pods_path(manifests.INFERENCE),
        object_path(manifests.INFERENCE, "vllm"), external_path("*", METRIC),
    }  # fmt: skip
    return sorted(paths)


async def _stranger(port: int, path: str, method: str = "GET") -> None:
    status, body = await _raw(port, path, method, {})
    require(
        status in {400, 401, 403, 404, 405}, f"{method} {path} on port {port}: a stranger gets {status}: {body[:300]!r}"
    )
    _no_word(port, path, body)


async def _bad_token(port: int, path: str) -> None:
    status, body = await _raw(port, path, "GET", {"Authorization": "Bearer x", **AS_ADMIN})
    require(status in {400, 401}, f"{path} on port {port}: a bad token gets {status}: {body[:300]!r}")
    _no_word(port, path, body)


def _no_word(port: int, path: str, body: bytes) -> None:
    """An answer may repeat the question, and what it wants."""
    rest = body
    for part in sorted({path, *path.split("/")}, key=len, reverse=True):
        if len(part) > 1:
            rest = rest.replace(part.encode(), b"")
    require(not SECRETS.search(rest), f"{path} on port {port} tells a stranger: {body[:300]!r}")


async def _raw(port: int, path: str, method: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Without a name in the handshake (SNI), and the path as it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=unverified(), server_hostname="")
    try:
        lines = [f"{method} {path} HTTP/1.1", "Host: stranger", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        async with asyncio.timeout(SECONDS):
            answer = await reader.read(1 << 20)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    match = re.match(rb"HTTP/1\.1 (\d{3})", head)
    require(match, f"{path} on port {port}: {answer[:100]!r}")
    assert match is not None
    return int(match[1]), head.partition(b"\r\n")[2] + body


async def _not_https(port: int, sent: bytes) -> None:
    """Plain HTTP, noise, and silence get no word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(SECONDS):
            answer = await reader.read(1 << 16)
    except OSError:
        answer = b""
    finally:
        writer.close()
    # A TLS alert (21) and nothing else.
    require(not answer or answer[0] == 21, f"plain {sent[:20]!r} on port {port} is answered with {answer[:100]!r}")


async def _plain_client(port: int) -> None:
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as plain:
            require(plain.status >= 400, f"plain HTTP on port {port} is answered with {plain.status}")
    old = unverified()
    with contextlib.suppress(ValueError, OSError):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=old, server_hostname="")
        writer.close()
        raise CheckError(f"port {port} takes TLS 1.1")
