"""Request targets are read as Go reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inflight.serve.api.refusals import Refused
from inflight.serve.api.uri import MAX_TARGET_BYTES, read_query, split_target


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        ("/", ("",)),
        ("/apis", ("apis",)),
        ("/apis/", ("apis", "")),
        ("/a//b", ("a", "", "b")),
        ("/a%2Fb", ("a", "b")),
        ("/pods/%2A/m", ("pods", "*", "m")),
        ("/vllm%3Anum_requests_running", ("vllm:num_requests_running",)),
        ("/a+b", ("a+b",)),
        ("/caf%C3%A9", ("café",)),
        ("/%ff", ("\ufffd",)),
        ("/a%00b", ("a\0b",)),
    ],
)
def test_the_path_is_decoded_and_then_split(target: str, segments: tuple[str, ...]) -> None:
    assert split_target(target)[0] == segments


@pytest.mark.parametrize("target", ["", "apis", "*", "https://h/apis", "/%", "/%2", "/%zz", "/a%"])
def test_what_is_no_path_is_a_bad_request(target: str) -> None:
    with pytest.raises(Refused) as caught:
        split_target(target)
    assert caught.value.code == 400


def test_a_target_over_the_limit_is_too_long() -> None:
    assert split_target("/" + "a" * (MAX_TARGET_BYTES - 1))
    with pytest.raises(Refused) as caught:
        split_target("/" + "a" * MAX_TARGET_BYTES)
    assert caught.value.code == 414


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", {}),
        ("labelSelector=app%3Dvllm-deployment", {"labelSelector": "app=vllm-deployment"}),
        ("labelSelector=app=x", {"labelSelector": "app=x"}),
        ("a=1&a=2", {"a": "1"}),
        ("a=%zz&a=2", {"a": "2"}),
        ("%zz=1&b=2", {"b": "2"}),
        ("a=1;b=2&c=3", {"c": "3"}),
        ("a+b=c+d%2B", {"a b": "c d+"}),
        ("a", {"a": ""}),
        ("&&a=1&", {"a": "1"}),
        ("=x", {"": "x"}),
    ],
)
def test_of_a_parameter_the_first_readable_value_counts(query: str, parameters: dict[str, str]) -> None:
    assert read_query(query) == parameters


@given(st.text(max_size=60))
def test_any_target_is_read_or_refused_and_stays_encodable(text: str) -> None:
    for target in (text, "/" + text, "/a?" + text):
        try:
            segments, parameters = split_target(target)
        except Refused as refusal:
            assert refusal.code in {400, 414}
            refusal.message.encode()
        else:
            " ".join((*segments, *parameters, *parameters.values())).encode()


@given(st.binary(max_size=40))
def test_raw_bytes_of_a_socket_are_read_too(raw: bytes) -> None:
    segments, _ = split_target("/x" + raw.replace(b"%", b"").replace(b"?", b"").decode("utf-8", "surrogateescape"))
    "/".join(segments).encode()
