"""The first representation that can be served is taken; where none can, none is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inflight.serve.api.negotiation import choose_encoding

JSON, YAML = "application/json", "application/yaml"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("APPLICATION/JSON; charset=utf-8", JSON),
        ("application/yaml", YAML),
        ("application/yaml, application/json", YAML),
        ("application/yaml;q=0.5, application/json", JSON),
        ("application/json;q=0.2, application/yaml;q=0.9", YAML),
        ("application/vnd.kubernetes.protobuf, */*", JSON),
        ("application/vnd.kubernetes.protobuf,application/json", JSON),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", JSON),
        ("text/html, application/json;q=0.1", JSON),
        ("text/html", None),
        ("nonsense", None),
        ("a/b/c", None),
        ("application/json;q=x", None),
        ("application/json;q=0", None),
        ("application/json;q=nan", None),
        ("application/vnd.kubernetes.protobuf", None),
        ("application/json;as=Table;v=v1;g=meta.k8s.io", None),
        (AGGREGATED, None),
    ],
)
def test_accept_of_a_value(accept: str, encoding: str | None) -> None:
    assert choose_encoding(accept) == encoding


def test_who_asks_for_aggregated_discovery_gets_the_plain_one() -> None:
    assert choose_encoding(AGGREGATED, discovery=True) == JSON
    assert choose_encoding("application/json;as=Table", discovery=True) is None


@given(st.text(max_size=60))
def test_any_header_is_understood_or_not_acceptable(accept: str) -> None:
    assert choose_encoding(accept) in {JSON, YAML, None}
