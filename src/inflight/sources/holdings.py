"""How much of what large pages said is kept, in all and by namespace. Pure: sizes in, a word out.

A pod's pages are kept for half a minute, so that rates can be told. Of an ordinary page that is some tens of KiB; one
that is made for it keeps 10 MiB, and there may be hundreds of such pods. Large ones share what there is room for: where
it is used up, pods of the namespaces that have more than an equal share are not read.
"""

from collections import Counter
from collections.abc import Hashable

LARGE_BYTES = 64 << 10
"""What is kept of one page; up to here nobody counts. A busy vLLM's keeps about 20 KiB, eight engines' 110."""
LARGEST_BYTES = 128 << 20
"""Of all large pages together: 40 pods of 64 engines each, 300 of eight."""
PAGES_KEPT = 4
"""Of a pod, with the last one."""
PAGES_THAT_SHARE = 2
"""As many take no more than this, where they are of one layout and have their labels in common."""


class Holdings:
    """What each pod with large pages keeps."""

    def __init__(self, largest_bytes: int = LARGEST_BYTES) -> None:
        self._largest_bytes = largest_bytes
        self._held: dict[Hashable, tuple[str, int]] = {}
        self._by_namespace: Counter[str] = Counter()

    @property
    def held_bytes(self) -> int:
        return self._by_namespace.total()

    def claim(self, pod: Hashable, namespace: str, page_bytes: int, *, changed: bool = True) -> bool:
        """Whether the pod may keep pages of this size, instead of what it kept before; if not, it keeps nothing.

        `changed`: its last page had another layout than the one before.
        """
        self.release(pod)
        if page_bytes <= LARGE_BYTES:
            return True
        wanted = (PAGES_KEPT if changed else PAGES_THAT_SHARE) * page_bytes
        in_all = self.held_bytes + wanted
        share = self._largest_bytes / len({*self._by_namespace, namespace})
        if in_all > self._largest_bytes and self._by_namespace[namespace] + wanted > share:
            return False
        self._held[pod] = (namespace, wanted)
        self._by_namespace[namespace] += wanted
        return True

    def release(self, pod: Hashable) -> None:
        """Its pages are no longer kept."""
        namespace, size = self._held.pop(pod, ("", 0))
        if size:
            self._by_namespace[namespace] -= size
            if not self._by_namespace[namespace]:
                del self._by_namespace[namespace]
