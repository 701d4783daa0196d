"""The group of commands. A command's module is imported when the command is named, not before."""

import importlib
import sys
from typing import Any

import click

from inflight import __version__

# name -> (module of the command, one line for the list)
COMMANDS = {
    "lab": (
        "inflight.cli.lab",
        "The whole loop on this machine: two fleets side by side, a live page, a report.",
    ),
    "inspect": ("inflight.cli.inspect", "What Inflight reads on a server's metrics page."),
    "serve": ("inflight.cli.serve", "The metrics API server."),
    "explain": ("inflight.cli.explain", "Why an HPA was at N, step by step, and what would have changed it."),
    "decide": ("inflight.cli.decide", "Decision cases in, decisions out, one a line."),
    "emulate": ("inflight.cli.emulate", "One emulated inference server in real time."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="inflight")
def group() -> None:
    """Autoscaling of LLM inference on Kubernetes by the work in flight.

    Exit codes: 0 fine, 1 findings or a failed target, 2 could not run.
    """


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of the console script."""
    return (
        group.main(args=arguments, prog_name="inflight", standalone_mode=True)
        if arguments
        else group(prog_name="inflight")
    )


if __name__ == "__main__":
    sys.exit(main())
