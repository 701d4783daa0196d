"""A run of engine steps whose batch does not change: its step times are an arithmetic progression.

Step j of a run (from 0) takes `first + slope * j` seconds, because each of the n sequences of a decode batch reads one
cached token more than in the step before: slope = d * n. So the end of any step, and the step that any moment falls
into, are closed forms. Results equal adding up the steps one by one to 1e-9 s for an hour of model time; beyond that
it is the adding up that drifts.
"""

from math import sqrt


class Run:
    """Steps in progress: where they began, how long they take, how many there will be unless something happens."""

    __slots__ = ("first", "length", "slope", "start")

    def __init__(self, start: float, first: float, slope: float, length: int) -> None:
        self.start = start
        self.first = first
        self.slope = slope
        self.length = length

    def boundary(self, steps: int) -> float:
        """When the first `steps` steps are over."""
        return self.start + (steps * self.first + self.slope * (0.5 * steps * (steps - 1)))

    def steps_by(self, at: float) -> int:
        """How many steps are over by then."""
        elapsed = at - self.start
        if elapsed < self.first or self.length == 0:
            return 0
        middle = self.first - 0.5 * self.slope
        root = sqrt(middle * middle + 2.0 * self.slope * elapsed)
        guess = min(int(2.0 * elapsed / (middle + root)), self.length)
        while guess > 0 and self.boundary(guess) > at:
            guess -= 1
        while guess < self.length and self.boundary(guess + 1) <= at:
            guess += 1
        return guess

    def first_boundary_from(self, at: float) -> int:
        """The number of steps after which it is `at` or later, at most the length of the run."""
        if at <= self.start:
            return 0
        steps = self.steps_by(at)
        return steps if steps == self.length or self.boundary(steps) >= at else steps + 1
