"""Numbers on the command line: click's own ranges let nan pass, and infinity where they have no end."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A number of the range, and no other thing that Python calls a float."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
