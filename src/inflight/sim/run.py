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
        steps = self.first_boundary_from(at)
        return steps - 1 if steps and self.boundary(steps) > at else steps

    def first_boundary_from(self, at: float) -> int:
        """The number of steps after which it is `at` or later, at most the length of the run."""
        half = 0.5 * self.slope
        elapsed = at - self.start
        if elapsed <= 0.0:
            return 0
        # The positive root of the boundaries' quadratic, in the form that loses no digits where the slope is small.
        middle = self.first - half
        guess = int(2.0 * elapsed / (middle + sqrt(middle * middle + 4.0 * half * elapsed)))
        steps = min(guess, self.length - 1)
        # The guess is off by one at most; the boundaries themselves decide.
        while steps >= 0 and self.boundary(steps) >= at:
            steps -= 1
        steps += 1
        while steps < self.length and self.boundary(steps) < at:
            steps += 1
        return steps
