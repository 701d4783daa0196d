"""The metrics APIs of Kubernetes over HTTPS, for pods whose values a Collector holds.

    async with start_server(collector, WallClock(), port=0) as server:
        server.url, server.token, server.ca_pem     # what a client needs

`api` is the pure part, a function from request to response; the rest is certificates, sockets and the command's run.
"""

from inflight.serve.api.outcomes import SampleSource
from inflight.serve.api.workloads import WorkloadSource
from inflight.serve.server import RunningServer, ServeError, start_server

__all__ = ["RunningServer", "SampleSource", "ServeError", "WorkloadSource", "start_server"]
