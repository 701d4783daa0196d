"""Files of one JSON object a line, read as a stream: no more than one line is held, and a line has a longest size."""

from collections.abc import Iterator
from typing import IO


def numbered_lines(file: IO[bytes], max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Lines with something on them, numbered from 1; one that is too long is cut right behind the limit."""
    number = 0
    while line := file.readline(max_line_bytes + 2):
        number += 1
        if not line.endswith(b"\n"):
            while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
        if line.strip():
            yield number, line
