"""How one emulated server is set up."""

import msgspec

from inflight.lab.emulator.lengths import AnswerLengths
from inflight.sim.cpu import CpuModel
from inflight.sim.engine import EngineConfig


class ServerSettings(msgspec.Struct, frozen=True):
    engine: EngineConfig
    model_name: str = ""
    """The name that clients use; empty: the engine's own."""
    engines: int = 1
    """Data-parallel size: so many engines behind the one port, each with the whole configuration."""
    seed: int = 0
    answer_lengths: AnswerLengths = AnswerLengths()
    api_key: str = ""
    """Asked for on /v1 paths if not empty. Never printed."""
    remote_admin: bool = False
    """Let /admin be called from other machines than this one."""
    cpu: CpuModel = CpuModel()

    def __post_init__(self) -> None:
        if not 1 <= self.engines <= 64:
            raise ValueError(f"the number of engines must be from 1 to 64, not {self.engines}")

    def __repr__(self) -> str:
        return f"ServerSettings(model {self.name}, {self.engines} x {self.engine.gpu})"

    @property
    def name(self) -> str:
        return self.model_name or self.engine.model
