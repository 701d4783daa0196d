"""One HPA of one cluster, from the question to the answer: look, remember, compare, explain."""

import msgspec

from inflight.cluster import ApiError, Client, ClusterError
from inflight.hpa.settings import Setting
from inflight.observe.answer import LiveAnswer, Seen, Server, compose, decision_of, record_of
from inflight.observe.assumptions import ServerVersion, assume
from inflight.observe.looking.errors import failure_of
from inflight.observe.looking.history import read_history
from inflight.observe.looking.look import Look, Looker
from inflight.observe.metrics_apis import metrics_api_notes
from inflight.observe.recorder import Memories


class Wanted(msgspec.Struct, frozen=True):
    """What is asked about the HPA."""

    kubernetes: str | None = None
    flags: tuple[str, ...] = ()
    """`NAME=VALUE` of the controller manager."""
    settings: tuple[Setting, ...] = ()
    with_changes: bool = True


class Session:
    """`look`, then `see`, then `answer`; each may be called again."""

    def __init__(
        self,
        client: Client,
        server: str,
        looker: Looker,
        wanted: Wanted,
        memories: Memories,
    ) -> None:
        self._client = client
        self._server = server
        self._looker = looker
        self._wanted = wanted
        self._memories = memories
        self._version: ServerVersion | None = None
        self._asked_version = False

    @property
    def namespace(self) -> str:
        return self._looker.namespace

    @property
    def name(self) -> str:
        return self._looker.name

    async def look(self) -> Look:
        """Raises ObserveError."""
        return await self._looker.look()

    async def see(self, look: Look, at_ns: int | None = None) -> Seen:
        """`at_ns` is when the sync comes that is asked about; None: now. Raises ControllerFlagError for what was asked,
        ObserveError where the API server is away.
        """
        version = await self._server_version()
        assumed = assume(version, self._wanted.kubernetes, self._wanted.flags, look.hpa)
        record = record_of(look, assumed, at_ns)
        return Seen(
            look=look,
            record=record,
            remembered=self._memories.before(record),
            history=await read_history(self._client, look.hpa),
            assumed=assumed,
            server=Server(self._server, "" if version is None else version.git_version),
        )

    async def answer(self, seen: Seen) -> LiveAnswer:
        """Raises SettingError where a setting cannot be made."""
        notes = await metrics_api_notes(self._client, decision_of(seen))
        return compose(seen, self._wanted.settings, with_changes=self._wanted.with_changes, more_notes=notes)

    async def _server_version(self) -> ServerVersion | None:
        """None where it is not said to everybody, as some providers have it."""
        if self._asked_version:
            return self._version
        try:
            self._version = msgspec.json.decode(await self._client.request("GET", "/version"), type=ServerVersion)
        except ApiError:
            self._version = None
        except msgspec.DecodeError:
            self._version = None
        except ClusterError as error:
            raise failure_of(error, "the API server's version") from error
        self._asked_version = True
        return self._version
