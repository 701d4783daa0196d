"""Who is asking: the front proxy, a client certificate, a token, nobody; and whose word does not count."""

from typing import Any

import pytest

from inflight.cluster import (
    ANONYMOUS,
    Authenticator,
    Client,
    Credentials,
    NotAuthenticatedError,
    PeerCertificate,
    TokenReviewer,
    Trust,
    User,
)
from inflight.cluster.tokens import PATH, ReviewError

NOW = 1_800_000_000.0
CLUSTER_CA, PROXY_CA, OTHER_CA = ((name, b"key") for name in (b"cluster", b"proxy", b"other"))
TRUST = Trust(
    client_anchors=frozenset({CLUSTER_CA}),
    proxy_anchors=frozenset({PROXY_CA}),
    allowed_names=("front-proxy-client",),
    username_headers=("X-Remote-User", "X-Also-User"),
    uid_headers=("X-Remote-Uid",),
    group_headers=("X-Remote-Group",),
    extra_prefixes=("X-Remote-Extra-",),
)
SPOKEN_FOR = (
    ("x-remote-user", "alice"),
    ("x-remote-uid", "42"),
    ("x-remote-group", "dev"),
    ("x-remote-group", "ops"),
    ("x-remote-extra-Acme.com%2FProject", "one"),
    ("x-remote-extra-acme.com%2fproject", "two"),
)


def certificate(name: str, issuer: tuple[bytes, bytes], *groups: str, ends: float = NOW + 1) -> PeerCertificate:
    return PeerCertificate(name, groups, "f00d", NOW - 1, ends, frozenset({issuer}))


@pytest.fixture
def authenticator(client: Client) -> Authenticator:
    return Authenticator(TokenReviewer(client))


def know(server: Any, token: str = "good", **user: Any) -> None:
    user = {"username": "bob", "groups": ["dev"], **user}
    server.give("POST", PATH, {"status": {"authenticated": True, "user": user}})


async def test_the_front_proxy_speaks_for_others(authenticator: Authenticator) -> None:
    credentials = Credentials(
        tuple((name.lower(), value) for name, value in SPOKEN_FOR), certificate("front-proxy-client", PROXY_CA)
    )
    assert await authenticator.identify(credentials, TRUST, NOW) == User(
        "alice", ("dev", "ops", "system:authenticated"), "42", {"acme.com/project": ("one", "two")}
    )


async def test_any_name_is_the_proxys_where_none_is_listed(authenticator: Authenticator) -> None:
    trust = Trust(proxy_anchors=frozenset({PROXY_CA}), username_headers=("X-Remote-User",))
    user = await authenticator.identify(Credentials(SPOKEN_FOR, certificate("whoever", PROXY_CA)), trust, NOW)
    assert user.name == "alice"


async def test_the_first_header_that_names_somebody_counts(authenticator: Authenticator) -> None:
    headers = (("x-remote-user", ""), ("x-also-user", "carol"))
    user = await authenticator.identify(Credentials(headers, certificate("front-proxy-client", PROXY_CA)), TRUST, NOW)
    assert user.name == "carol"


async def test_the_anonymous_stay_anonymous_through_the_proxy(authenticator: Authenticator) -> None:
    headers = (("x-remote-user", "system:anonymous"), ("x-remote-group", "system:unauthenticated"))
    user = await authenticator.identify(Credentials(headers, certificate("front-proxy-client", PROXY_CA)), TRUST, NOW)
    assert user == ANONYMOUS


@pytest.mark.parametrize(
    "shown",
    [
        certificate("somebody-else", PROXY_CA),
        certificate("front-proxy-client", OTHER_CA),
        certificate("front-proxy-client", PROXY_CA, ends=NOW - 0.5),
        certificate("front-proxy-client", CLUSTER_CA, ends=NOW - 0.5),
        certificate("", CLUSTER_CA),
    ],
)
async def test_a_certificate_that_proves_nothing_is_no_anonymity(
    authenticator: Authenticator, shown: PeerCertificate
) -> None:
    with pytest.raises(NotAuthenticatedError):
        await authenticator.identify(Credentials(SPOKEN_FOR, shown), TRUST, NOW)


async def test_a_proxy_that_names_nobody_is_nobody(authenticator: Authenticator) -> None:
    with pytest.raises(NotAuthenticatedError):
        await authenticator.identify(Credentials((), certificate("front-proxy-client", PROXY_CA)), TRUST, NOW)


async def test_the_proxys_name_on_a_cluster_certificate_is_a_user_like_others(authenticator: Authenticator) -> None:
    credentials = Credentials(SPOKEN_FOR, certificate("front-proxy-client", CLUSTER_CA, "g"))
    user = await authenticator.identify(credentials, TRUST, NOW)
    assert (user.name, user.groups) == ("front-proxy-client", ("g", "system:authenticated"))
    assert user.extra == {"authentication.kubernetes.io/credential-id": ("X509SHA256=f00d",)}


async def test_headers_without_a_certificate_mean_nothing(authenticator: Authenticator) -> None:
    assert await authenticator.identify(Credentials(SPOKEN_FOR), TRUST, NOW) == ANONYMOUS


async def test_before_the_trust_is_known_no_certificate_counts(authenticator: Authenticator) -> None:
    for issuer in (PROXY_CA, CLUSTER_CA):
        with pytest.raises(NotAuthenticatedError):
            await authenticator.identify(
                Credentials(SPOKEN_FOR, certificate("front-proxy-client", issuer)), Trust(), NOW
            )


async def test_an_authority_that_is_taken_out_counts_no_longer(authenticator: Authenticator) -> None:
    credentials = Credentials((), certificate("alice", CLUSTER_CA))
    assert (await authenticator.identify(credentials, TRUST, NOW)).name == "alice"
    with pytest.raises(NotAuthenticatedError):
        await authenticator.identify(credentials, Trust(client_anchors=frozenset({OTHER_CA})), NOW)


async def test_a_token_is_the_clusters_to_judge(server: Any, authenticator: Authenticator) -> None:
    know(server, uid="7", extra={"scope": ["a", "b"]})
    user = await authenticator.identify(Credentials((("authorization", "Bearer good"),)), TRUST, NOW)
    assert user == User("bob", ("dev", "system:authenticated"), "7", {"scope": ("a", "b")})
    assert server.bodies[0]["spec"] == {"token": "good"}


async def test_a_good_token_helps_a_bad_certificate(server: Any, authenticator: Authenticator) -> None:
    know(server)
    credentials = Credentials((("authorization", "bearer good"),), certificate("x", OTHER_CA))
    assert (await authenticator.identify(credentials, TRUST, NOW)).name == "bob"


async def test_a_resumed_session_proves_nothing(authenticator: Authenticator) -> None:
    with pytest.raises(NotAuthenticatedError):
        await authenticator.identify(Credentials(has_unverified_certificate=True), TRUST, NOW)


async def test_a_token_that_is_not_known_is_no_anonymity(server: Any, authenticator: Authenticator) -> None:
    server.give("POST", PATH, {"status": {"authenticated": False, "error": "expired"}})
    with pytest.raises(NotAuthenticatedError):
        await authenticator.identify(Credentials((("authorization", "Bearer old"),)), TRUST, NOW)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "good"])
async def test_what_is_no_bearer_token_is_no_credential(server: Any, authenticator: Authenticator, header: str) -> None:
    assert await authenticator.identify(Credentials((("authorization", header),)), TRUST, NOW) == ANONYMOUS
    assert server.requests == []


async def test_an_absurd_token_is_not_even_asked_about(server: Any, authenticator: Authenticator) -> None:
    with pytest.raises(NotAuthenticatedError):
        await authenticator.identify(Credentials((("authorization", "Bearer " + "x" * 9000),)), TRUST, NOW)
    assert server.requests == []


async def test_a_right_that_is_missing_is_named_with_its_cure(server: Any, authenticator: Authenticator) -> None:
    server.give("POST", PATH, server.status(403, "Forbidden", "may not create tokenreviews"), status=403)
    with pytest.raises(ReviewError, match=r"may not create tokenreviews.*system:auth-delegator"):
        await authenticator.identify(Credentials((("authorization", "Bearer secret-one"),)), TRUST, NOW)


@pytest.mark.parametrize("answer", [{}, [], {"status": 5}, {"status": {"authenticated": "yes"}}])
async def test_an_answer_that_cannot_be_read_lets_nobody_in(
    server: Any, authenticator: Authenticator, answer: Any
) -> None:
    server.give("POST", PATH, answer)
    with pytest.raises(ReviewError) as caught:
        await authenticator.identify(Credentials((("authorization", "Bearer secret-one"),)), TRUST, NOW)
    assert "secret-one" not in str(caught.value)


async def test_credentials_show_nothing_in_a_log() -> None:
    assert "good" not in repr(Credentials((("authorization", "Bearer good"),)))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Scope", "scope"),
        ("a%2fb%2Fc", "a/b/c"),
        ("%41b", "Ab"),
        ("a+b", "a+b"),
        ("a%2fb%zz", "a%2fb%zz"),
        ("A%2FB%4", "a%2fb%4"),
        ("100%", "100%"),
        ("%2541", "%41"),
        ("%c3%b6", "ö"),
        # One for each byte: Go reads bytes that are no UTF-8 one by one.
        ("a%e2%82b%ff", "a\ufffd\ufffdb\ufffd"),
        ("%ed%a0%80", "\ufffd\ufffd\ufffd"),
    ],
)
async def test_keys_of_extra_are_lowered_then_decoded_whole_or_not(
    authenticator: Authenticator, written: str, read: str
) -> None:
    headers = (("x-remote-user", "alice"), (f"x-remote-extra-{written}", "v"))
    user = await authenticator.identify(Credentials(headers, certificate("front-proxy-client", PROXY_CA)), TRUST, NOW)
    assert user.extra == {read: ("v",)}
