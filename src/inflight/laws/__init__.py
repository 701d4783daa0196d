"""Control laws: what is known in, replicas wanted out. One file each, behind the one signature of `laws.law`.

A law is served as a metric ("replicas wanted"), so that the stock HPA goes on being the only one that writes a scale.
Pure: no clock, no network; what a law has to remember is a value that it is handed and gives back.
"""

from inflight.laws.asking import Asker, find_asker
from inflight.laws.floor import FloorMemory, FloorSettings, floor
from inflight.laws.law import Autoscaler, Coverage, Law, Sample, Seen, Wanted, Withheld
from inflight.laws.proposal import proposal

__all__ = [
    "Asker",
    "Autoscaler",
    "Coverage",
    "FloorMemory",
    "FloorSettings",
    "Law",
    "Sample",
    "Seen",
    "Wanted",
    "Withheld",
    "find_asker",
    "floor",
    "proposal",
]
