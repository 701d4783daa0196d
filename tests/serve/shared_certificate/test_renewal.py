"""What is due in a Secret, at which moment; and that no bytes in one can do harm."""

import base64
import datetime
import ssl
from contextlib import suppress
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.serve.authority import Authority, Validity, certificate_pem, issue, make_authority, private_pem
from inflight.serve.certificates import load_certificate
from inflight.serve.renewal import Judgement, judge, renew
from inflight.serve.secret_content import MAX_CERTIFICATES, Content, read_content
from inflight.serve.shared_certificate import service_names

NOW = datetime.datetime(2027, 1, 15, 8, tzinfo=datetime.UTC)
NAMES = service_names("inflight-system", "inflight")
DAYS = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)

Data = dict[str, bytes]


def content(data: Data) -> Content:
    return read_content({"data": {key: base64.b64encode(value).decode() for key, value in data.items()}})


def judged(data: Data, now: datetime.datetime = NOW, *, carried: bool = True) -> Judgement:
    return judge(content(data), NAMES, now, carried=carried)


def written(data: Data, now: datetime.datetime = NOW, *, carried: bool = True) -> Data:
    renewal = judged(data, now, carried=carried).renewal
    assert renewal is not None
    return {**data, **renew(renewal, NAMES, now)}


def why(data: Data, now: datetime.datetime = NOW, *, carried: bool = True) -> str:
    renewal = judged(data, now, carried=carried).renewal
    return renewal.why if renewal is not None else ""


def leaf(data: Data) -> x509.Certificate:
    return x509.load_pem_x509_certificate(data["tls.crt"])


def verify(data: Data, now: datetime.datetime, trusted: bytes | None = None) -> None:
    """As a strict client would at that moment."""
    roots = x509.load_pem_x509_certificates(trusted if trusted is not None else data["ca.crt"])
    name = x509.DNSName(NAMES[0])
    verifier = PolicyBuilder().store(Store(roots)).time(now).build_server_verifier(name)
    chain = x509.load_pem_x509_certificates(data["tls.crt"])
    verifier.verify(chain[0], chain[1:])


@pytest.fixture(scope="module")
def first() -> Data:
    return written({})


def test_what_is_made_verifies_lives_as_long_as_is_said_and_needs_nothing(first: Data) -> None:
    verify(first, NOW)
    verify(first, NOW + 364 * DAYS)
    [authority] = x509.load_pem_x509_certificates(first["ca.crt"])
    assert authority.not_valid_after_utc - NOW == 3650 * DAYS
    assert leaf(first).not_valid_after_utc - NOW == 365 * DAYS
    assert NOW - leaf(first).not_valid_before_utc == HOUR
    assert why(first) == ""
    assert judged(first).authorities == (authority,)


def test_names_of_any_length_that_kubernetes_allows() -> None:
    names = service_names("n" * 63, "s" * 63)
    renewal = judge(content({}), names, NOW, carried=False).renewal
    assert renewal is not None
    assert judge(content(renew(renewal, names, NOW)), names, NOW, carried=False).renewal is None


@pytest.mark.parametrize(
    ("days", "due"),
    [(0, False), (243, False), (244, True), (364, True), (366, True), (-1, True), (2000, True)],
)
def test_a_leaf_is_due_in_its_last_third_and_outside_its_life(first: Data, days: int, due: bool) -> None:
    now = NOW + days * DAYS
    assert bool(why(first, now)) == due
    if due and days > 0:
        after = written(first, now)
        assert after["ca.crt"] == first["ca.crt"]
        assert after["ca.key"] == first["ca.key"]
        assert leaf(after) != leaf(first)
        verify(after, now)
        assert why(after, now) == ""


@pytest.mark.parametrize("days", [0, 243, 300, 364])
def test_what_is_due_is_served_until_it_is_renewed(first: Data, days: int) -> None:
    assert judged(first, NOW + days * DAYS).certificate is not None


@pytest.mark.parametrize("days", [-1, 366])
def test_what_has_ended_is_not(first: Data, days: int) -> None:
    assert judged(first, NOW + days * DAYS).certificate is None


def test_over_twenty_years_every_client_that_follows_the_bundle_verifies() -> None:
    data, now = written({}), NOW
    bundles = [data["ca.crt"]]
    for _ in range(20 * 36):
        now += 10 * DAYS
        verify(data, now)
        if why(data, now):
            # The caBundle follows the Secret, not the other way round: what comes must verify with the bundle before.
            before, data = data, written(data, now)
            verify(data, now, before["ca.crt"])
            verify(before, now, data["ca.crt"])
            bundles.append(data["ca.crt"])
    assert len(set(bundles)) > 3
    assert max(bundle.count(b"BEGIN") for bundle in bundles) == 2


@pytest.fixture(scope="module")
def halfway(first: Data) -> tuple[Data, datetime.datetime]:
    """The authority has been renewed, the leaf is still the old one's."""
    now = NOW + 3285 * DAYS
    old = content(first).signer
    assert isinstance(old, Authority)
    certificate, key = issue(old, NAMES, now - 10 * DAYS, Validity(now - 10 * DAYS, now + 355 * DAYS))
    data = {**first, "tls.crt": certificate_pem(certificate), "tls.key": private_pem(key)}
    assert why(data, now - DAYS) == ""
    now += DAYS
    assert "its authority ends at" in why(data, now)
    after = written(data, now)
    assert after["tls.crt"] == data["tls.crt"]
    assert after["ca.key"] != data["ca.key"]
    assert after["ca.crt"].endswith(data["ca.crt"])
    return after, now


def test_the_leaf_follows_after_an_hour_where_all_trust_the_new_authority(
    halfway: tuple[Data, datetime.datetime],
) -> None:
    data, now = halfway
    assert why(data, now + 59 * HOUR / 60) == ""
    assert why(data, now + 61 * HOUR / 60) == "it has a new authority"
    after = written(data, now + 2 * HOUR)
    new = certificate_pem(x509.load_pem_x509_certificates(data["ca.crt"])[0])
    verify(after, now + 2 * HOUR, new)
    assert after["ca.crt"] == data["ca.crt"]
    assert why(after, now + 3 * HOUR) == ""


def test_where_that_is_not_known_it_waits_as_long_as_it_can(halfway: tuple[Data, datetime.datetime]) -> None:
    data, now = halfway
    assert why(data, now + 200 * DAYS, carried=False) == ""
    assert why(data, now + 330 * DAYS, carried=False) == "it has a new authority"


def test_an_authority_that_has_ended_leaves_the_bundle(halfway: tuple[Data, datetime.datetime]) -> None:
    data, now = halfway
    later = now + 400 * DAYS
    assert "ended" in why(data, later)
    after = written(data, later)
    assert after["ca.crt"].count(b"BEGIN") == 1
    verify(after, later)


def test_when_all_has_ended_all_is_new_at_once(first: Data) -> None:
    later = NOW + 5000 * DAYS
    after = written(first, later)
    verify(after, later)
    assert why(after, later) == ""
    assert not set(after["ca.crt"].splitlines()[1:-1]) & set(first["ca.crt"].splitlines()[1:-1])


def test_a_clock_that_was_years_ahead_is_got_over(first: Data) -> None:
    now = NOW - 400 * DAYS
    assert "not valid before" in why(first, now)
    after = written(first, now)
    assert why(after, now) == ""
    verify(after, now)


def broken(first: Data, what: str) -> Data:
    other = written({})
    encrypted = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
    )
    changes: dict[str, Data] = {
        "no leaf": {"tls.crt": b""},
        "no key": {"tls.key": b""},
        "another key": {"tls.key": other["tls.key"]},
        "encrypted": {"tls.key": encrypted},
        "garbage": {"tls.crt": b"garbage"},
        "half": {"tls.crt": first["tls.crt"][:300]},
        "another authority's": {"tls.crt": other["tls.crt"], "tls.key": other["tls.key"]},
        "too many": {"tls.crt": first["tls.crt"] * (MAX_CERTIFICATES // 2 + 1)},
    }
    return {**first, **changes[what]}


@pytest.mark.parametrize(
    "what",
    ["no leaf", "no key", "another key", "encrypted", "garbage", "half", "another authority's", "too many"],
)
def test_a_broken_leaf_of_ours_is_renewed_from_the_same_authority(first: Data, what: str) -> None:
    data = broken(first, what)
    assert why(data)
    assert judged(data).certificate is None
    after = written(data)
    verify(after, NOW, first["ca.crt"])
    assert (after["ca.crt"], after["ca.key"]) == (first["ca.crt"], first["ca.key"])


@pytest.mark.parametrize(
    "what",
    ["no leaf", "no key", "another key", "encrypted", "garbage", "half", "too many"],
)
def test_broken_without_the_key_of_the_authority_it_is_refused(first: Data, what: str) -> None:
    data = {**broken(first, what), "ca.key": b""}
    judgement = judged(data)
    assert judgement.refusal
    assert (judgement.certificate, judgement.renewal, judgement.authorities) == (None, None, ())


@pytest.mark.parametrize("key", [b"garbage", private_pem(ec.generate_private_key(ec.SECP256R1()))])
def test_a_broken_authority_is_said_and_the_leaf_served(first: Data, key: bytes) -> None:
    judgement = judged({**first, "ca.key": key})
    assert judgement.certificate is not None
    assert judgement.renewal is None
    assert "Delete its data, and all is made anew" in judgement.warnings[0]
    assert "Delete its data" in judged({**first, "ca.key": key, "tls.key": b"x"}).refusal
    assert "Delete its data" in judged({"ca.key": key}).refusal


def test_an_authority_that_was_tampered_with_signs_nothing(first: Data) -> None:
    der = bytearray(x509.load_pem_x509_certificate(first["ca.crt"]).public_bytes(Encoding.DER))
    der[-1] ^= 1
    data = {**first, "ca.crt": certificate_pem(x509.load_der_x509_certificate(bytes(der)))}
    assert judged(data, NOW + 300 * DAYS).renewal is None
    assert "it cannot be renewed" in judged(data).warnings[0]


def test_further_authorities_in_the_bundle_are_kept(first: Data) -> None:
    further = certificate_pem(make_authority(NOW, Validity(NOW, NOW + 2000 * DAYS)).certificate)
    data = {**first, "ca.crt": further + first["ca.crt"] + further}
    assert why(data) == ""
    assert len(judged(data).authorities) == 2
    after = written(data, NOW + 300 * DAYS)
    assert sorted(after["ca.crt"].split(b"-----BEGIN")) == sorted((first["ca.crt"] + further).split(b"-----BEGIN"))


def test_an_rsa_authority_that_somebody_brought_issues_the_leaves() -> None:
    key = rsa.generate_private_key(65537, 2048)
    ours = make_authority(NOW, Validity(NOW - HOUR, NOW + 3650 * DAYS)).certificate
    builder = x509.CertificateBuilder(
        subject_name=ours.subject,
        issuer_name=ours.subject,
        public_key=key.public_key(),
        serial_number=7,
        not_valid_before=NOW - HOUR,
        not_valid_after=NOW + 3650 * DAYS,
    )
    for extension in ours.extensions:
        if extension.oid != x509.SubjectKeyIdentifier.oid:
            builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(x509.SubjectKeyIdentifier(b"their own"), critical=False)
    authority = certificate_pem(builder.sign(key, SHA256()))
    after = written({"ca.crt": authority, "ca.key": private_pem(key)})
    assert after["ca.crt"] == authority
    verify(after, NOW)
    assert why(after) == ""


def test_a_signing_key_of_a_kind_that_is_not_known_is_said(first: Data) -> None:
    key = private_pem(ed25519.Ed25519PrivateKey.generate())
    assert "elliptic curve" in judged({**first, "ca.key": key}).warnings[0]


def test_a_foreign_chain_over_an_intermediate_is_fine_and_a_wildcard_too() -> None:
    root = trustme.CA()
    issued = root.create_child_ca().issue_cert("*.inflight-system.svc")
    data = {
        "tls.crt": b"".join(pem.bytes() for pem in issued.cert_chain_pems),
        "tls.key": issued.private_key_pem.bytes(),
        "ca.crt": root.cert_pem.bytes(),
    }
    judgement = judged(data, datetime.datetime.now(datetime.UTC))
    assert judgement.certificate is not None
    assert judgement.warnings == ()
    without_it = {**data, "tls.crt": issued.cert_chain_pems[0].bytes()}
    assert "was not issued" in judged(without_it, datetime.datetime.now(datetime.UTC)).warnings[0]


def test_a_foreign_chain_up_to_its_root_says_itself_whom_to_trust(first: Data) -> None:
    data = {key: first[key] for key in ("tls.crt", "tls.key")}
    judgement = judged(data)
    assert [certificate_pem(each) for each in judgement.authorities] == [first["ca.crt"]]
    assert judgement.warnings == ()
    assert judgement.renewal is None


def test_other_keys_of_the_secret_are_no_harm_beside_a_certificate(first: Data) -> None:
    assert why({**first, "note": b"x"}) == ""
    assert written({**broken(first, "garbage"), "note": b"x"})["note"] == b"x"
    assert "it holds note and no certificate" in judged({"note": b"x"}).refusal


@pytest.mark.parametrize("secret", [{}, {"data": None}, {"data": []}, {"data": {"tls.crt": None}}, {"data": {"a": ""}}])
def test_all_ways_to_be_empty(secret: dict[str, Any]) -> None:
    assert read_content(secret).empty


def test_the_order_of_names_does_not_matter_and_a_missing_one_does(first: Data) -> None:
    assert judge(content(first), NAMES[::-1], NOW, carried=True).renewal is None
    renewal = judge(content(first), (*NAMES, "more.example"), NOW, carried=True).renewal
    assert renewal is not None
    assert "more.example" in renewal.why


KEYS = ("tls.crt", "tls.key", "ca.crt", "ca.key")
WHOLE = written({})


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KEYS),
    st.integers(0, 2000),
    st.binary(max_size=6),
    st.integers(0, 40),
    st.sets(st.sampled_from(KEYS), max_size=3),
)
def test_no_bytes_do_harm(key: str, place: int, bytes_: bytes, length: int, missing: set[str]) -> None:
    value = WHOLE[key]
    place %= len(value)
    data = {**WHOLE, key: value[:place] + bytes_ + value[place + length :]}
    data = {key: value for key, value in data.items() if key not in missing}
    judgement = judged(data)
    if judgement.renewal is not None:
        assert data.get("ca.key") or not any(data.values())
        verify(written(data), NOW)
    if judgement.certificate is not None:
        with suppress(ssl.SSLError, ValueError):
            load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), judgement.certificate)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from((*KEYS, "x")), st.text("Aa0+/=-ü\n", max_size=40) | st.integers() | st.none()))
def test_nor_does_what_is_no_base64(data: dict[str, Any]) -> None:
    judge(read_content({"data": data}), NAMES, NOW, carried=False)
