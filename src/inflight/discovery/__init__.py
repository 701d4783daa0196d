"""Which pods to scrape, found in a cluster: by its HPAs, the selectors of what they name, and the pods themselves.

discovery = Discovery(client, shipped())
discovery.changed = collector.set_targets
async with asyncio.TaskGroup() as group:
    group.create_task(discovery.run())
    ...
    discovery.workload("default", "deployments.apps", "llm")   # -> Workload(...), or a sentence why not
"""

from inflight.discovery.discovery import Discovery, DiscoveryStats, Times
from inflight.discovery.problems import KINDS, Problem, ProblemKind
from inflight.discovery.workloads import Workload

__all__ = [
    "KINDS",
    "Discovery",
    "DiscoveryStats",
    "Problem",
    "ProblemKind",
    "Times",
    "Workload",
]
