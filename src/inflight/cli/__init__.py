"""The command `inflight`: one file per command, each imported only when it is called, so that --help is fast."""

from inflight.cli.main import main

__all__ = ["main"]
