"""The targets file: what it may hold, and that everything wrong with it is said at once, with lines."""

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.documents import DocumentError
from inflight.sources import Target, TargetsError, load_targets
from inflight.sources.target import url_problem


def errors_of(text: str, **more: object) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load_targets(textwrap.dedent(text), "targets.yaml", **more)  # type: ignore[arg-type]
    return str(caught.value).splitlines()


def test_a_whole_file() -> None:
    text = """
    targets:
    - name: vllm-0
      namespace: llm
      labels: {app: vllm, example.com/tier: gold}
      url: http://10.0.0.5:8000/metrics
    - name: tgi.0
      url: https://tgi.llm.svc/metrics
      engine: tgi
      tls: {caFile: ca.pem, serverName: tgi.example}
      bearerTokenFile: /var/run/secrets/token
    - name: open
      url: https://[::1]:8443
      tls: {insecureSkipTLSVerify: true}
    """
    assert load_targets(textwrap.dedent(text), "etc/targets.yaml") == [
        Target(
            namespace="llm",
            name="vllm-0",
            labels={"app": "vllm", "example.com/tier": "gold"},
            url="http://10.0.0.5:8000/metrics",
        ),
        Target(
            namespace="default",
            name="tgi.0",
            labels={},
            url="https://tgi.llm.svc/metrics",
            engine="tgi",
            ca_file="etc/ca.pem",
            server_name="tgi.example",
            bearer_token_file="/var/run/secrets/token",
        ),
        Target("default", "open", {}, "https://[::1]:8443", insecure_skip_tls_verify=True),
    ]


def test_json_and_bytes_and_an_empty_list_are_read() -> None:
    assert load_targets(b'{"targets": []}', "t.json") == []


def test_everything_wrong_is_said_at_once_with_its_line() -> None:
    errors = errors_of(
        """\
        targets:
        - name: a
          url: http://user:secret@h:1/metrics
          labels: {version: 1, "bad key": x, app: -x}
          engin: vllm
        - name: A_b
          url: ftp://h
        - name: a
          url: http://h/
        - url: http://h/
          tls: {caFile: x, foo: 1}
        - just text
        """
    )
    assert [error.split(": ")[0] for error in errors] == [
        f"targets.yaml:{n}" for n in (3, 4, 4, 4, 5, 6, 7, 8, 10, 11, 12)
    ]
    assert "carries credentials" in errors[0]
    assert not any("secret" in error for error in errors)
    assert any("labels.version: expected `str`, got `int`; put it in quotes" in error for error in errors)
    assert any("labels.bad key: the key 'bad key'" in error for error in errors)
    assert any("labels.app: '-x'" in error for error in errors)
    assert any("unknown field `engin`; known are name, url, namespace" in error for error in errors)
    assert "targets[2].name: default/a is a target already (line 2)" in errors[7]
    assert "targets[3]: the field `name` is missing" in errors[8]
    assert "targets[3].tls.foo: unknown field `foo`; known are caFile, insecureSkipTLSVerify, serverName" in errors[9]
    assert "targets[4]: expected a mapping, got text" in errors[10]


def test_an_error_carries_its_place_for_programs() -> None:
    with pytest.raises(TargetsError) as caught:
        load_targets("targets:\n- name: a\n  url: nowhere\n", "t.yaml")
    assert (caught.value.line, caught.value.path) == (3, ("targets", 0, "url"))
    assert len(caught.value.errors) == 1


def test_very_many_errors_are_counted() -> None:
    errors = errors_of("targets:\n" + "- {name: X}\n" * 50)
    assert len(errors) == 21
    assert errors[-1] == "targets.yaml: and 129 more errors"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("a: 1\n---\nb: 2\n", "has 2 documents"),
        ("- x\n", "expected a mapping with a list `targets`"),
        ("{}\n", "the field `targets` is missing"),
        ("targets:\n", "expected a list of pods"),
        ("targets: {a: 1}\n", "expected a list of pods"),
        ("apiVersion: v1\ntargets: []\n", "unknown field `apiVersion`; the file has one field"),
        ("targets: [\n", "not YAML"),
        ("targets: [{name: a, url: 'http://h', tls: x}]", "targets[0].tls: expected a mapping, got text"),
        ("targets: [{name: a, url: 'http://h', tls: {serverName: x}}]", "tls is for https, and the URL is not"),
        (
            "targets: [{name: a, url: 'https://h', tls: {caFile: x, insecureSkipTLSVerify: true}}]",
            "caFile has no meaning with insecureSkipTLSVerify",
        ),
        ("targets: [{name: a, url: 'https://h', tls: {caFile: ''}}]", "tls.caFile: expected the name of a file"),
        ('targets: [{name: a, url: "http://h", bearerTokenFile: "a\\0b"}]', "expected the name of a file"),
        ("targets: [{name: a, url: 'http://h', namespace: a.b}]", "must not contain dots"),
        ("targets: [{name: a, url: 'http://h', labels: [x]}]", "labels: expected"),
    ],
)
def test_what_is_refused(text: str, problem: str) -> None:
    assert problem in "\n".join(errors_of(text))


def test_an_engine_must_be_one_of_the_catalogue_where_it_is_given() -> None:
    text = "targets: [{name: a, url: 'http://h', engine: vlm}]"
    assert errors_of(text, engines=["vllm", "tgi"]) == [
        "targets.yaml:1: targets[0].engine: the engine 'vlm' is not in the catalogue; known are tgi, vllm"
    ]
    assert load_targets(text, "t.yaml")[0].engine == "vlm"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://10.0.0.1:8000/metrics", ""),
        ("https://pod.ns.svc.cluster.local", ""),
        ("http://[fe80::1]:80/a?name[]=x", ""),
        ("HTTP://h/", ""),
        ("http://h:0/", "the port 0 is not between 1 and 65535"),
        ("http://h:65536/", "not a URL"),
        ("http://h:abc/", "not a URL"),
        ("http:///metrics", "has no host"),
        ("h:8000/metrics", "begins with http"),
        ("/metrics", "begins with http"),
        ("file:///etc/passwd", "begins with http"),
        ("unix:/run/x.sock", "begins with http"),
        ("http://u@h/", "carries credentials"),
        ("http://:p@h/", "carries credentials"),
        ("http://h/#x", "no fragment"),
        ("http://h/a b", "blanks or control"),
        ("http://h/\r\nHost: x", "blanks or control"),
        ("http://h/" + "x" * 3000, "at most 2048"),
        ("", "begins with http"),
    ],
)
def test_urls(url: str, problem: str) -> None:
    found = url_problem(url)
    assert problem in found if problem else found == ""


@given(st.text(max_size=60).filter(lambda text: not set(text) & set("/?#\\")))
def test_any_text_as_a_url_is_judged_and_not_repeated(text: str) -> None:
    problem = url_problem(f"http://user:{text}hunter2@h/")
    assert problem
    assert "hunter2" not in problem


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70_000) | st.text("ab-./:#{}", max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "url", "labels", "tls", "engine", "targets", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(YAML_VALUES)
def test_any_shape_of_file_gives_targets_or_a_clear_error(value: object) -> None:
    import msgspec

    for wrapped in (value, {"targets": value}, {"targets": [value]}):
        try:
            load_targets(msgspec.json.encode(wrapped), "t.yaml")
        except DocumentError as error:
            assert str(error).startswith("t.yaml")
