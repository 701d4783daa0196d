"""What the health pages of a running server say: of its parts, its scraping, and what it still has to read.

Alive means: work is being done. Ready means: it can answer for the pods that there were at the beginning. What pods and
the cluster do wrong later is told where it is asked about, since neither a restart nor another replica would help.
"""

from collections.abc import Callable

import msgspec

from inflight.serve.api.health import Ailment
from inflight.serve.parts import Parts
from inflight.serve.vitals import Vitals
from inflight.sources import CollectorStats


class Health(msgspec.Struct, frozen=True):
    """As a HealthCheck. `cluster` tells what is not yet known of it, where there is one."""

    parts: Parts
    vitals: Vitals
    stats: Callable[[], CollectorStats]
    now: Callable[[], float]
    cluster: Callable[[], Ailment | None] | None = None

    def __call__(self, check: str) -> Ailment | None:
        still = self.vitals.standstill(self.stats(), self.now())
        if still:
            return Ailment("standstill", still)
        ailment = self.parts.ailment(check)
        if ailment is not None or check != "readyz":
            return ailment
        unknown = self.cluster() if self.cluster is not None else None
        return unknown or (Ailment("warming_up", self.vitals.warming_up) if self.vitals.warming_up else None)
