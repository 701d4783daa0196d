"""Whether scraping gets as much of the process as it wants, told when that changes. Pure: counts in, a line out.

Scrapes wait for their turn so that everything else in the process gets on; what they wait stretches their intervals, up
to 5 s a pod, and so makes them fewer. A mean wait above 20 ms means that values come in less often than every second
for want of a core, not because pods are slow.
"""

WAIT_SECONDS = 0.02
AT_EASE_SECONDS = 0.005


class Strain:
    """Looks at running totals again and again."""

    def __init__(self) -> None:
        self._scrapes = 0
        self._waited_seconds = 0.0
        self.mean_wait_seconds = 0.0
        """Between the last two looks, a scrape."""
        self.strained = False

    def look(self, scrapes: int, waited_seconds: float) -> bool:
        """Whether it has just begun or ended, as `strained` says from then on."""
        made = scrapes - self._scrapes
        if not made:
            return False
        self.mean_wait_seconds = (waited_seconds - self._waited_seconds) / made
        self._scrapes, self._waited_seconds = scrapes, waited_seconds
        before = self.strained
        self.strained = self.mean_wait_seconds > (AT_EASE_SECONDS if before else WAIT_SECONDS)
        return self.strained != before
