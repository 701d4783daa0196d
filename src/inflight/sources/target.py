"""One pod to scrape. Secrets stay in files of their own: a URL with credentials is refused, its text never repeated."""

from collections.abc import Mapping

import msgspec
from yarl import URL

_MAX_URL_LENGTH = 2048


class Target(msgspec.Struct, frozen=True):
    """One pod and how its metrics page is reached."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    url: str
    """http or https. Without a path, the engine's usual one is asked for, or `/metrics`."""
    engine: str | None = None
    """Name in the catalogue, where the page alone does not tell."""
    uid: str = ""
    """Tells a pod from its successor under the same name."""
    ca_file: str | None = None
    """PEM certificates to trust, instead of the system's. Read again when it changes."""
    insecure_skip_tls_verify: bool = False
    server_name: str | None = None
    """The name that the certificate must carry, where it is not the URL's host."""
    bearer_token_file: str | None = None
    """Sent with each request. Read again when it changes."""
    terminating: bool = False
    """The pod is going away: it is read while it still answers, and no sum waits for it."""
    alternatives: tuple[str, ...] = ()
    """Further URLs where the page may be, like `url`: tried in order until one shows a known engine's page."""
    restarts: int = 0
    """Of the pod's containers, as the cluster counts them: when it grows, the page is looked for anew."""
    settle: bool = False
    """The pod was running before it was watched: nothing is said of a whole fleet until it was read or had its time."""
    ready: bool | None = None
    """The pod's Ready condition: whether it is sent work. None where nobody says, as in a file of targets."""
    kind: str = ""
    """The workload that the pod is one of, such as `Deployment/llm`."""


def url_problem(text: str) -> str:
    """Why a URL cannot be scraped; empty when it can. Never repeats the URL: it may carry a secret."""
    if len(text) > _MAX_URL_LENGTH:
        return f"the URL has {len(text)} characters; at most {_MAX_URL_LENGTH} are read"
    if not text.isprintable() or " " in text:
        return "the URL holds blanks or control characters"
    try:
        url = URL(text)
        port = url.explicit_port
    except ValueError:
        return "not a URL; expected http://HOST:PORT/PATH"
    if url.scheme not in {"http", "https"}:
        return f"expected a URL that begins with http:// or https://, not {url.scheme[:20] or 'no scheme'!r}"
    if url.user is not None or url.password is not None:
        return "the URL carries credentials; put a token into a file and name it in bearerTokenFile"
    if not url.host:
        return "the URL has no host"
    if port is not None and not 0 < port < 65536:
        return f"the port {port} is not between 1 and 65535"
    if url.raw_fragment:
        return "a URL to scrape has no fragment (the part behind #)"
    return ""
