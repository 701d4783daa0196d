"""Labels and selectors: which objects are meant, in the three spellings Kubernetes has for it.

A text (`app=a,tier in (x,y),!old`, see `selector_text`), a LabelSelector object (`matchLabels` and `matchExpressions`),
and what both become: a Selector, read once and matched often.
Source: k8s.io/apimachinery pkg/labels/selector.go and pkg/apis/meta/v1 (helpers.go, generated.pb.go), 0.36 and 0.37.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from inflight.objects.integers import INT64_MAX, INT64_MIN
from inflight.objects.names import label_key_problems, label_value_problems

Operator = Literal["in", "notin", "=", "==", "!=", "exists", "!", "gt", "lt"]

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OPERATOR_OF_EXPRESSION: Final[dict[str, Operator]] = {
    "In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!",
}  # fmt: skip


class SelectorError(ValueError):
    """A selector that cannot be used. `upstream` is apimachinery's text for it, as conditions and answers quote it."""

    def __init__(self, message: str, upstream: str) -> None:
        self.upstream = upstream
        super().__init__(message)


class Requirement(msgspec.Struct, frozen=True):
    """One condition on one label. Made by the functions of this module, which check it."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "gt" | "lt":
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        number, bound = _int64(value), _int64(self.values[0])
        if number is None or bound is None:
            return False
        return number > bound if self.operator == "gt" else number < bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


class Selector(msgspec.Struct, frozen=True):
    """All requirements must hold; with none everything matches. `nothing` is what an absent LabelSelector selects."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        for requirement in self.requirements:
            if not requirement.matches(labels):
                return False
        return not self.nothing

    @property
    def is_empty(self) -> bool:
        """Whether it leaves out no object."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        """As kubectl writes it: sorted by key, values sorted, no space after a comma; empty for all and for nothing."""
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING: Final = Selector()
NOTHING: Final = Selector(nothing=True)


class LabelSelectorRequirement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"LabelSelectorRequirement{{Key:{self.key},Operator:{self.operator},Values:[{' '.join(self.values)}],}}"


class LabelSelector(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """metav1.LabelSelector. Its text is Go's, which stands in the autoscaler's conditions and events."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    def to_selector(self) -> Selector:
        """Raises SelectorError where a key, a value or an operator is none."""
        requirements = [make_requirement(key, "=", (value,)) for key, value in self.match_labels.items()]
        for expression in self.match_expressions:
            operator = _OPERATOR_OF_EXPRESSION.get(expression.operator)
            if operator is None:
                problem = f"{json.dumps(expression.operator)} is not a valid label selector operator"
                raise SelectorError(f"{problem}: write In, NotIn, Exists or DoesNotExist", problem)
            requirements.append(make_requirement(expression.key, operator, expression.values))
        return select(requirements)

    def __str__(self) -> str:
        labels = "".join(f"{key}: {self.match_labels[key]}," for key in sorted(self.match_labels))
        expressions = "".join(f"{expression}," for expression in self.match_expressions)
        return (
            f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
            f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
        )


def to_selector(label_selector: LabelSelector | None) -> Selector:
    """An absent LabelSelector selects nothing, an empty one everything. Raises SelectorError."""
    return NOTHING if label_selector is None else label_selector.to_selector()


def format_label_selector(label_selector: LabelSelector | None) -> str:
    """As Go prints a pointer to one: `nil`, or `&LabelSelector{...}`."""
    return "nil" if label_selector is None else str(label_selector)


def select(requirements: Iterable[Requirement]) -> Selector:
    """The selector that wants all of these."""
    return Selector(tuple(sorted(requirements, key=lambda requirement: requirement.key)))


def _int64(text: str) -> int | None:
    # 19 digits and a sign; leading zeros of a longer text are not worth reading it.
    if len(text) > 64 or not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if INT64_MIN <= number <= INT64_MAX else None


def make_requirement(key: str, operator: Operator, values: tuple[str, ...]) -> Requirement:
    """Checked as upstream's NewRequirement does. Raises SelectorError with all complaints."""
    problems = []
    of_key = label_key_problems(key)
    if of_key:
        problems.append(f"key: Invalid value: {json.dumps(key, ensure_ascii=False)}: {'; '.join(of_key)}")
    if operator in {"in", "notin"} and not values:
        problems.append("values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty")
    if operator in {"exists", "!"} and values:
        shown = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        problems.append(f"values: Invalid value: {shown}: values set must be empty for exists and does not exist")
    for index, value in enumerate(values):
        shown = json.dumps(value, ensure_ascii=False)
        if operator in {"gt", "lt"} and _int64(value) is None:
            problems.append(
                f"values[{index}]: Invalid value: {shown}: for 'Gt', 'Lt' operators, the value must be an integer"
            )
    for index, value in enumerate(values):
        of_value = label_value_problems(value)
        if of_value:
            shown = json.dumps(value, ensure_ascii=False)
            problems.append(f"values[{index}][{key}]: Invalid value: {shown}: {'; '.join(of_value)}")
    if problems:
        upstream = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        raise SelectorError(upstream, upstream)
    return Requirement(key, operator, values)
