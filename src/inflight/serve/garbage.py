"""When Python's garbage collector runs: on a schedule of ours, because its own stops every answer at the wrong
moment.

Pages come and go: as many objects die (by reference count) as are made, so the collector's counter, which is a
difference, hardly moves while tens of thousands of young objects pile up, all of which are looked through when it
fires at last: with 400 pods twice a second, for 8 to 18 ms. Nearly none of them is garbage that only the collector
can find. So it is switched off, and run once a minute, or sooner when objects pile up that nobody released.
"""

import asyncio
import gc

EVERY_SECONDS = 60.0
LOOK_SECONDS = 1.0
MAX_NEW_OBJECTS = 50_000
"""Of the collector's counter: objects made less objects released. Some 100 failed scrapes leave that much."""


async def collect_on_schedule() -> None:
    """Runs until cancelled; then the collector is left as it was found.

    What lives as long as the process (modules, catalogue) is taken out of its sight first.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    loop = asyncio.get_running_loop()
    last = loop.time()
    try:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if gc.get_count()[0] > MAX_NEW_OBJECTS or loop.time() - last >= EVERY_SECONDS:
                gc.collect()
                last = loop.time()
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
