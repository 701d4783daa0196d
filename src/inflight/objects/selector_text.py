"""The text form of a label selector: `app=a,tier in (x,y),!old`, as kubectl and query parameters have it.

Source: the lexer and parser of k8s.io/apimachinery pkg/labels/selector.go, 0.36 and 0.37, error texts included.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from inflight.objects.names import label_key_problems
from inflight.objects.selectors import Operator, Requirement, Selector, SelectorError, make_requirement, select

MAX_TEXT_LENGTH: Final = 65_536
"""A longer selector text is refused. A list of a thousand values fits."""

_WORD = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^ \t\r\n=!(),<>]+)|$)")
_OPERATORS: Final[dict[str, Operator]] = {
    "in": "in", "notin": "notin", "=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt",
}  # fmt: skip
_BINARY_OPERATORS = "in, notin, =, ==, !=, gt, lt"
_END = ""


def parse_selector(text: str) -> Selector:
    """The selector a text means, by apimachinery's grammar; an empty text selects everything. Raises SelectorError."""
    if len(text) > MAX_TEXT_LENGTH:
        problem = f"a label selector has at most {MAX_TEXT_LENGTH} characters; this one has {len(text)}"
        raise SelectorError(problem, problem)
    if "\0" in text:
        problem = "a label selector has no NUL characters"
        raise SelectorError(problem, problem)
    try:
        return select(_Parser(text).requirements())
    except _UnreadableError as error:
        raise _refusal(text, str(error)) from None
    except SelectorError as error:
        raise _refusal(text, f"unable to parse requirement: {error.upstream}") from None


def _refusal(text: str, upstream: str) -> SelectorError:
    shown = text if len(text) <= 80 else text[:80] + "..."
    return SelectorError(f"the label selector {shown!r} cannot be read: {upstream}", upstream)


class _UnreadableError(Exception):
    """What stands where something else is wanted, in upstream's words."""


class _Parser:
    """Reads one text from left to right. `in` and `notin` are names where a name is wanted."""

    def __init__(self, text: str) -> None:
        self._words = _words(text)
        self._position = 0

    def requirements(self) -> Iterator[Requirement]:
        if self._peek() == _END:
            return
        if not _begins_requirement(self._peek()):
            raise _UnreadableError(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
        while True:
            yield self._requirement()
            word = self._next()
            if word == _END:
                return
            if word != ",":
                raise _UnreadableError(f"found '{word}', expected: ',' or 'end of string'")
            if not _begins_requirement(self._peek()):
                raise _UnreadableError(f"found '{self._peek()}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        absent = self._peek() == "!"
        if absent:
            self._next()
        key = self._next()
        if not _is_name(key):
            raise _in_requirement(f"found '{key}', expected: identifier")
        problems = label_key_problems(key)
        if problems:
            shown = json.dumps(key, ensure_ascii=False)
            raise _in_requirement(f"<nil>: Invalid value: {shown}: {'; '.join(problems)}")
        if absent:
            return make_requirement(key, "!", ())
        if self._peek() in {_END, ","}:
            return make_requirement(key, "exists", ())
        word = self._next()
        operator = _OPERATORS.get(word)
        if operator is None:
            raise _in_requirement(f"found '{word}', expected: {_BINARY_OPERATORS}")
        values = self._list() if operator in {"in", "notin"} else self._one_value()
        return make_requirement(key, operator, values)

    def _one_value(self) -> tuple[str, ...]:
        if self._peek() in {_END, ","}:
            return ("",)
        word = self._next()
        if not _is_name(word):
            raise _in_requirement(f"found '{word}', expected: identifier")
        return (word,)

    def _list(self) -> tuple[str, ...]:
        """`(a,b)`; nothing between two commas, or a comma and a parenthesis, is the empty value."""
        word = self._next()
        if word != "(":
            raise _in_requirement(f"found '{word}' expected: '('")
        if self._peek() != ")" and self._peek() != "," and not _is_name(self._peek()):
            raise _in_requirement(f"found '{self._peek()}', expected: ',', ')' or identifier")
        values: set[str] = set()
        value = ""
        while True:
            word = self._next()
            if _is_name(word):
                value = word
                if self._peek() not in {",", ")"}:
                    raise _in_requirement(f"found '{self._peek()}', expected: ',' or ')'")
            elif word in {",", ")"}:
                values.add(value)
                value = ""
                if word == ")":
                    return tuple(sorted(values))
            else:
                raise _in_requirement(f"found '{word}', expected: ',', or identifier")

    def _peek(self) -> str:
        return self._words[self._position]

    def _next(self) -> str:
        word = self._words[self._position]
        # The end stays where it is: what asks again gets it again.
        self._position = min(self._position + 1, len(self._words) - 1)
        return word


def _in_requirement(problem: str) -> _UnreadableError:
    return _UnreadableError(f"unable to parse requirement: {problem}")


def _words(text: str) -> list[str]:
    words = []
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        assert match is not None  # every character is a space, a sign or part of a word
        word = match[1] or match[2]
        if word:
            words.append(word)
        position = match.end()
    return [*words, _END]


def _is_name(word: str) -> bool:
    return word != _END and word not in {"=", "==", "!=", "!", "(", ")", ",", "<", ">"}


def _begins_requirement(word: str) -> bool:
    return word == "!" or _is_name(word)
