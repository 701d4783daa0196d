"""What is due in the Secret of the serving certificate, and the content that is written then. No clock, no network.

The authority lives ten years, a leaf one. A leaf is renewed in its last third, an authority in its last year: the new
one first stands beside the old one, in `ca.crt` and from there in every `caBundle`, and only then issues the leaf. A
Secret without `ca.key` is somebody else's: it is used as it is and never written.
"""

import datetime
from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from inflight.serve.authority import Authority, Validity, issue, make_authority, private_pem
from inflight.serve.certificates import ServingCertificate
from inflight.serve.secret_content import (
    AUTHORITIES,
    AUTHORITY_KEY,
    CERTIFICATE,
    KEY,
    Content,
    Pair,
    bundle_pem,
    is_authority,
    issued_by,
    leads_to,
)

AUTHORITY_LIFETIME = datetime.timedelta(days=3650)
AUTHORITY_RENEWAL = datetime.timedelta(days=365)
LEAF_LIFETIME = datetime.timedelta(days=365)
BACKDATE = datetime.timedelta(hours=1)
"""For clocks that disagree; Kubernetes' own certificates begin an hour early too (client-go `util/cert/cert.go`)."""
SETTLING = datetime.timedelta(hours=1)
"""A new authority issues nothing for so long: every API server and replica has seen it by then."""
MAX_AUTHORITIES = 20
"""In a Secret that we write, the newest first. Two are the rule while an authority is renewed."""
LATE_PART = 6
"""cert-manager renews in the last third. In the last sixth whoever renews is late."""
LAST_CHANCE_PART = 12
"""In the last twelfth of a leaf it is renewed even where it is not known that its authority is trusted."""


class Renewal(msgspec.Struct, frozen=True):
    """What is to be written, and why."""

    why: str
    signer: Authority | None
    """None: a new authority is made."""
    kept_authorities: tuple[x509.Certificate, ...]
    kept_pair: ServingCertificate | None
    """None: a new leaf is issued."""

    def __repr__(self) -> str:
        return f"Renewal({self.why!r})"


class Judgement(msgspec.Struct, frozen=True):
    """Of the content of a Secret at one moment."""

    certificate: ServingCertificate | None = None
    """What can be served of it."""
    leaf: x509.Certificate | None = None
    authorities: tuple[x509.Certificate, ...] = ()
    """What a client has to trust; empty where the Secret does not say."""
    renewal: Renewal | None = None
    refusal: str = ""
    """Why nothing can be made of it."""
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Judgement({self.leaf}, {self.renewal}, {self.refusal!r})"


def judge(content: Content, names: Sequence[str], now: datetime.datetime, *, carried: bool) -> Judgement:
    """`names` are those that a leaf of ours must have, the one that an aggregator asks for first. `carried`: it is
    known that every `caBundle` of ours holds what is in `ca.crt`.
    """
    if content.empty:
        if content.other_keys:
            keys = ", ".join(content.other_keys[:5])
            return Judgement(refusal=f"it holds {keys} and no certificate: name a Secret that is for nothing else")
        return Judgement(renewal=Renewal("it is empty", None, (), None))
    if content.signer is None:
        return _judge_foreign(content, names, now)
    if isinstance(content.signer, str):
        # Somebody's hand was in it. What still works is served; nothing is thrown away that may be wanted.
        why = f"it cannot be renewed: {content.signer}. Delete its data, and all is made anew"
        judged = _judge_foreign(content, names, now)
        if judged.refusal:
            return Judgement(refusal=why)
        return msgspec.structs.replace(judged, warnings=(why, *judged.warnings))
    return _judge_ours(content, content.signer, names, now, carried=carried)


def renew(renewal: Renewal, names: Sequence[str], now: datetime.datetime) -> dict[str, bytes]:
    """The four values of the Secret."""
    signer = renewal.signer or make_authority(now, Validity(now - BACKDATE, now + AUTHORITY_LIFETIME))
    authorities = tuple(dict.fromkeys((signer.certificate, *renewal.kept_authorities)))[:MAX_AUTHORITIES]
    pair = renewal.kept_pair
    if pair is None:
        ends = min(now + LEAF_LIFETIME, signer.certificate.not_valid_after_utc)
        leaf, key = issue(signer, names, now, Validity(now - BACKDATE, ends))
        pair = ServingCertificate(bundle_pem((leaf, signer.certificate)), private_pem(key), None)
    return {
        CERTIFICATE: pair.chain,
        KEY: pair.key,
        AUTHORITIES: bundle_pem(authorities),
        AUTHORITY_KEY: private_pem(signer.key),
    }


def _judge_ours(
    content: Content, signer: Authority, names: Sequence[str], now: datetime.datetime, *, carried: bool
) -> Judgement:
    assert not isinstance(content.authorities, str)
    valid = tuple(each for each in content.authorities if now < each.not_valid_after_utc)
    pair = content.pair
    unusable = pair if isinstance(pair, str) else _unusable(pair, valid, names, now)
    served = None if unusable or isinstance(pair, str) else pair
    authority_due = _authority_due(signer.certificate, now)
    renewal = None
    if authority_due:
        renewal = Renewal(unusable or authority_due, None, valid, served.pem if served is not None else None)
    else:
        why = unusable if served is None else _leaf_due(served.leaf, signer.certificate, now, carried=carried)
        if why:
            renewal = Renewal(why, signer, valid, None)
    return Judgement(
        certificate=served.pem if served is not None else None,
        leaf=served.leaf if served is not None else None,
        authorities=content.authorities,
        renewal=renewal,
    )


def _judge_foreign(content: Content, names: Sequence[str], now: datetime.datetime) -> Judgement:
    if isinstance(content.pair, str):
        return Judgement(refusal=content.pair)
    pair = content.pair
    warnings = []
    authorities: tuple[x509.Certificate, ...] = ()
    if isinstance(content.authorities, str):
        top = pair.chain[-1]
        if is_authority(top) or issued_by(top, top):
            authorities = (top,)
        else:
            warnings.append(
                f"{content.authorities}, so no caBundle is written: put the certificate of its authority there"
            )
    else:
        authorities = content.authorities
    if authorities and not leads_to(pair.chain, authorities):
        warnings.append(f"{CERTIFICATE} was not issued by an authority of {AUTHORITIES}: no client will accept it")
    if not _matches(names[0], pair.dns_names):
        warnings.append(f"{CERTIFICATE} does not name {names[0]}: the API server will not accept it")
    ends, begins = pair.leaf.not_valid_after_utc, pair.leaf.not_valid_before_utc
    if now >= ends:
        warnings.append(f"{CERTIFICATE} ended at {_text(ends)}: whoever renews it has to")
    elif now < begins:
        warnings.append(f"{CERTIFICATE} is not valid before {_text(begins)}: is a clock wrong?")
    elif ends - now < (ends - begins) / LATE_PART:
        warnings.append(f"{CERTIFICATE} ends at {_text(ends)}, and whoever renews it is late")
    return Judgement(certificate=pair.pem, leaf=pair.leaf, authorities=authorities, warnings=tuple(warnings))


def _authority_due(certificate: x509.Certificate, now: datetime.datetime) -> str:
    if now < certificate.not_valid_before_utc:
        return f"its authority is not valid before {_text(certificate.not_valid_before_utc)}"
    if certificate.not_valid_after_utc - now < AUTHORITY_RENEWAL:
        return f"its authority ends at {_text(certificate.not_valid_after_utc)}"
    return ""


def _unusable(pair: Pair, authorities: Sequence[x509.Certificate], names: Sequence[str], now: datetime.datetime) -> str:
    leaf = pair.leaf
    if now >= leaf.not_valid_after_utc:
        return f"{CERTIFICATE} ended at {_text(leaf.not_valid_after_utc)}"
    if now < leaf.not_valid_before_utc:
        return f"{CERTIFICATE} is not valid before {_text(leaf.not_valid_before_utc)}"
    missing = [name for name in names if name.lower() not in pair.dns_names | pair.addresses]
    if missing:
        return f"{CERTIFICATE} does not name {', '.join(missing)}"
    if not _for_servers(leaf):
        return f"{CERTIFICATE} is not for servers"
    if not leads_to(pair.chain, authorities):
        return f"{CERTIFICATE} was not issued by an authority of {AUTHORITIES} that is still valid"
    return ""


def _leaf_due(leaf: x509.Certificate, signer: x509.Certificate, now: datetime.datetime, *, carried: bool) -> str:
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    left = leaf.not_valid_after_utc - now
    if issued_by(leaf, signer):
        return f"{CERTIFICATE} ends at {_text(leaf.not_valid_after_utc)}" if left < lifetime / 3 else ""
    settled = carried and now >= signer.not_valid_before_utc + BACKDATE + SETTLING
    if settled or left < lifetime / LAST_CHANCE_PART:
        return "it has a new authority"
    return ""


def _for_servers(leaf: x509.Certificate) -> bool:
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return bool({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages))


def _matches(name: str, names: frozenset[str]) -> bool:
    """As clients do: a star stands for the first label alone."""
    name = name.lower()
    return name in names or f"*.{name.partition('.')[2]}" in names


def _text(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
