"""The process in which other policies are simulated: policies in, results out, one a line, until the pipe ends.

A process of its own and not a pool of them: whoever started it can kill it at any moment, and there is no lock that a
killed worker could have held.
"""

import os
import pickle
import sys

import msgspec

from inflight.lab.settings import LabSettings
from inflight.sim.score import PolicyResult, Series
from inflight.sim.study import Course, Policy, run_policy


def simulate(settings: LabSettings, policy: Policy) -> PolicyResult:
    """One policy under the requests of this lab, without its series."""
    course = Course(settings.arrivals(), settings.ramp.seconds, settings.ramp.rises_at, settings.slo)
    result = run_policy(policy, settings.fleet_setup(), course)
    return msgspec.structs.replace(result, series=Series(), changes=())


def main() -> None:
    """Reads the settings and then policies from standard input, pickled by the parent."""
    os.nice(10)  # the live fleets come first
    settings: LabSettings = pickle.load(sys.stdin.buffer)  # noqa: S301 - the parent's own pipe
    while True:
        try:
            policy: Policy = pickle.load(sys.stdin.buffer)  # noqa: S301 - the parent's own pipe
        except EOFError:
            return
        sys.stdout.buffer.write(msgspec.json.encode(simulate(settings, policy)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
