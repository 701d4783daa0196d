"""Where a pod's page may be: annotations as operators write them, and as somebody writes them who means harm."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from inflight.discovery.addresses import host_of
from inflight.discovery.pages import MAX_PAGES, PageFinder, Pages, Refusal, default_pages
from inflight.discovery.pods import Annotations
from inflight.signals import load_catalogue, shipped
from inflight.sources.target import url_problem

FINDER = PageFinder(shipped())


def find(*ports: int, scrape: str = "", port: str = "", path: str = "", scheme: str = "") -> Pages:
    return FINDER.find(Annotations(scrape, port, path, scheme), ports)


def refusal(*ports: int, **annotations: str) -> Refusal:
    found = find(*ports, **annotations)
    assert isinstance(found, Refusal)
    return found


def test_without_annotations_the_default_ports_in_the_order_of_the_catalogue() -> None:
    assert find(8000) == ((8000, "/metrics"), (8000, "/prometheus/metrics"), (8000, "/v1/metrics"))
    assert find(30000) == ((30000, "/metrics"),)
    # vLLM's port comes first in the catalogue, whatever the order in the pod.
    assert find(9090, 8002, 8000) == (
        (8000, "/metrics"),
        (8002, "/metrics"),
        (8000, "/prometheus/metrics"),
        (9090, "/metrics"),
        (8000, "/v1/metrics"),
    )


def test_the_order_is_that_of_the_file() -> None:
    text = """
schema: 1
signals: {in_flight: {unit: requests}}
engines:
  second: {port: 2, path: /two, detect: {prefix: two}}
  first: {port: 1, path: /one, detect: {prefix: one}}
  again: {port: 2, path: /two, detect: {prefix: three}}
  other: {port: 2, path: /zwei, detect: {prefix: four}}
  nowhere: {none: it has no page}
"""
    finder = PageFinder(load_catalogue(text, "engines.yaml"))
    assert finder.find(Annotations(), (1, 2, 3)) == ((2, "/two"), (1, "/one"), (2, "/zwei"))


def test_every_engine_with_a_port_is_found_by_it() -> None:
    pages = default_pages(shipped())
    for engine in shipped().engines.values():
        if engine.port is not None:
            assert (engine.port, engine.path) in pages


@pytest.mark.parametrize("ports", [(), (80,), (6379, 5432, 22, 1, 2, 3)])
def test_no_port_of_an_engine_is_a_sentence(ports: tuple[int, ...]) -> None:
    found = refusal(*ports)
    assert found.kind == "no_port"
    assert "declares no port" in found.why
    assert "annotate it with prometheus.io/port" in found.why


@pytest.mark.parametrize("scrape", ["", "true", "True"])
def test_the_annotated_port_and_path_are_the_operators_word(scrape: str) -> None:
    assert find(8000, scrape=scrape, port="9400", path="/my/metrics") == ((9400, "/my/metrics"),)
    assert find(scrape=scrape, port=" 9400 ", path="/a%20b") == ((9400, "/a%20b"),)


def test_an_annotated_port_without_a_path_is_looked_at_under_every_usual_one() -> None:
    assert find(8000, port="7777") == ((7777, "/metrics"), (7777, "/prometheus/metrics"), (7777, "/v1/metrics"))
    # That of the engine whose port it is comes first.
    found = find(port="8000")
    assert isinstance(found, tuple)
    assert found[0] == (8000, "/metrics")


def test_scrape_without_a_port_means_the_declared_ones_defaults_first() -> None:
    found = find(1234, 30000, 8002, scrape="true")
    assert isinstance(found, tuple)
    assert [port for port, _ in dict.fromkeys((port, 0) for port, _ in found)] == [30000, 8002, 1234]
    assert find(1234, 30000, scrape="true", path="/stats") == ((30000, "/stats"), (1234, "/stats"))
    assert find(1234, path="/stats") == ((1234, "/stats"),)
    assert refusal(scrape="true").kind == "no_port"


def test_many_declared_ports_are_bounded() -> None:
    found = find(*range(1, 65), scrape="true")
    assert isinstance(found, tuple)
    assert len(found) == MAX_PAGES


@pytest.mark.parametrize("scrape", ["false", "False", "no", "slow", "0"])
def test_what_is_not_to_be_scraped_is_said(scrape: str) -> None:
    found = refusal(8000, scrape=scrape, port="8000")
    assert found.kind == "not_scraped"
    assert f"prometheus.io/scrape is '{scrape}'" in found.why


def test_https_is_not_for_discovered_pods() -> None:
    found = refusal(8000, scheme="https")
    assert found.kind == "bad_annotation"
    assert "--targets" in found.why
    assert find(8000, scheme="http") == find(8000)
    assert refusal(8000, scheme="gopher").kind == "bad_annotation"


@pytest.mark.parametrize(
    "port",
    [
        "abc",
        "0",
        "70000",
        "65536",
        "000080",
        "-1",
        "+1",
        "80.0",
        "8e3",
        "8000,9000",
        "0x1f90",
        "٨٠٠٠",
        "²",
        "80 80",
        "8000/x",
        "8000@evil.example",
        "8000\nHost: evil",
        "1" * 600,
        " ",
        "http",
        "[::1]",
        "8000#",
        "8000?",
    ],
)
def test_a_port_that_is_none_is_refused(port: str) -> None:
    found = refusal(8000, port=port)
    assert found.kind == "bad_annotation"
    assert "prometheus.io/port" in found.why
    assert found.why.isprintable()
    assert len(found.why) < 300


@pytest.mark.parametrize(
    "path",
    [
        "metrics",
        "//evil.example/metrics",
        "/metrics?x=1",
        "/metrics#x",
        "/a b",
        "/a\nb",
        "/a\r\nHost: x",
        "/a\tb",
        "/@evil",
        "@evil.example/",
        "http://evil.example/",
        "\\\\evil",
        "/\\evil",
        "/%zz",
        "/%",
        "/ü",
        "/" + "a" * 300,
        " /metrics",
        "/metrics ",
        "/metrics\x00",
        ":80/metrics",
        "/<x>",
        "/{x}",
        '/"x"',
        "/\u2028x",
        "/^",
        "/`",
        "/|",
    ],
)
def test_a_path_that_is_none_is_refused(path: str) -> None:
    found = refusal(8000, path=path, port="8000")
    assert found.kind == "bad_annotation"
    assert "prometheus.io/path" in found.why
    assert found.why.isprintable()
    assert len(found.why) < 300


TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="/.:@?#%\\ 0123456789abcdef[]\r\n", max_size=20),
    st.text(alphabet=string.ascii_letters + "/-._~!$&'()*+,;=:%", max_size=20).map(lambda text: f"/{text}"),
    st.integers(-5, 70_000).map(str),
)


@settings(max_examples=60, deadline=None)
@given(written=st.builds(Annotations, TEXTS, TEXTS, TEXTS, TEXTS), ports=st.lists(st.integers(1, 65535), max_size=3))
def test_no_annotation_leads_away_from_the_pod(written: Annotations, ports: list[int]) -> None:
    # Each also with the others in order, so that the refusal of one does not hide the other.
    path_alone, port_alone = Annotations(port="8", path=written.path), Annotations(port=written.port, path=written.path)
    for annotations in (written, path_alone, port_alone):
        found = FINDER.find(annotations, tuple(ports))
        if isinstance(found, Refusal):
            assert found.why.isprintable()
            continue
        assert 0 < len(found) <= MAX_PAGES
        for at, under in found:
            for ip in ("10.0.0.7", "fd00::7"):
                text = f"http://{host_of(ip)}:{at}{under}"
                url = URL(text)
                assert (url.scheme, url.host, url.explicit_port or 80) == ("http", ip, at)
                assert not url.query_string
                assert not url.raw_fragment
                assert url_problem(text) == ""
            assert at in ({int(annotations.port)} if annotations.port else {*ports})


@pytest.mark.parametrize(
    ("ip", "host"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("127.0.1.7", "127.0.1.7"),
        ("fd00::7", "[fd00::7]"),
        ("FD00:0::0007", "[fd00::7]"),
        ("::ffff:10.0.0.7", "[::ffff:a00:7]"),
    ],
)
def test_addresses_of_pods(ip: str, host: str) -> None:
    assert host_of(ip) == host
    assert URL(f"http://{host}:80/").host == (host.strip("[]"))


@pytest.mark.parametrize(
    "ip",
    [
        "",
        "evil.example",
        "10.0.0",
        "10.0.0.7:80",
        "10.0.0.7/x",
        "010.0.0.7",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1%x",
        "224.0.0.1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "[::1]",
        "1",
        "10.0.0.7\n",
        "user@10.0.0.7",
    ],
)
def test_what_no_pod_can_have_is_no_address(ip: str) -> None:
    assert host_of(ip) is None
