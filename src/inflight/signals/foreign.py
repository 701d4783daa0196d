"""Text that strangers wrote: a page's labels, a server's words, the name of a file."""


def printable(text: str) -> str:
    """The text with everything escaped that could steer a terminal, break a line or hide what stands beside it."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
