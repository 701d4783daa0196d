"""A user as Kubernetes sees one: a name, an identifier, groups, and what else an authenticator knows."""

from collections.abc import Mapping

import msgspec

AUTHENTICATED_GROUP = "system:authenticated"
UNAUTHENTICATED_GROUP = "system:unauthenticated"
MASTERS_GROUP = "system:masters"


class User(msgspec.Struct, frozen=True):
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = {}

    def among_the_authenticated(self) -> "User":
        """With the group that every authenticated user is in, unless it is said that this one is not."""
        if AUTHENTICATED_GROUP in self.groups or UNAUTHENTICATED_GROUP in self.groups:
            return self
        return msgspec.structs.replace(self, groups=(*self.groups, AUTHENTICATED_GROUP))


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED_GROUP,))
