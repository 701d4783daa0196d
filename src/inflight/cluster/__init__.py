"""Kubernetes as Inflight needs it: a thin client, where the cluster is, who is asking and what they may.

async with Client(read_kubeconfig(path)) as client:
    authenticator = Authenticator(TokenReviewer(client))
    authorizer = Authorizer(client)
    user = await authenticator.identify(credentials, trust, now)
    verdict = await authorizer.review(user, attributes)
"""

from inflight.cluster.access import Attributes, Authorizer, Verdict
from inflight.cluster.authentication import Authenticator, NotAuthenticatedError
from inflight.cluster.client import Client
from inflight.cluster.config import ClusterConfig, in_cluster, read_kubeconfig
from inflight.cluster.credentials import Credentials, PeerCertificate, read_chain
from inflight.cluster.errors import ApiError, ClusterError, ConfigError, UnreachableError
from inflight.cluster.reflector import Reflector
from inflight.cluster.tokens import TokenReviewer
from inflight.cluster.trust import Trust, TrustWatcher, parse_trust
from inflight.cluster.users import ANONYMOUS, User

__all__ = [
    "ANONYMOUS",
    "ApiError",
    "Attributes",
    "Authenticator",
    "Authorizer",
    "Client",
    "ClusterConfig",
    "ClusterError",
    "ConfigError",
    "Credentials",
    "NotAuthenticatedError",
    "PeerCertificate",
    "Reflector",
    "TokenReviewer",
    "Trust",
    "TrustWatcher",
    "UnreachableError",
    "User",
    "Verdict",
    "in_cluster",
    "parse_trust",
    "read_chain",
    "read_kubeconfig",
]
