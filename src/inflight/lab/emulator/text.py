"""The text format as prometheus_client writes it, and so vLLM's page: `24.0`, `1.830299e+06`, sorted labels."""

import math
from collections.abc import Mapping, Sequence


def number(value: float) -> str:
    """A value as prometheus_client writes it: from a million on with an exponent, like Go."""
    text = repr(float(value))
    dot = text.find(".")
    if dot > 6 and value > 0 and "e" not in text:
        return f"{text[0]}.{(text[1:dot] + text[dot + 1 :]).rstrip('0') or '0'}e+{dot - 1:02d}".replace(".0e", "e")
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else text


def quote(text: str) -> str:
    """A label's value between its quotation marks."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def label_set(labels: Mapping[str, str]) -> str:
    """The labels in braces, by name; nothing where there are none."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{quote(labels[name])}"' for name in sorted(labels)) + "}"


def header(name: str, kind: str, text: str) -> str:
    """The HELP and TYPE lines of a family."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def histogram_names(name: str, labels: Mapping[str, str], edges: Sequence[float]) -> list[str]:
    """The names of a histogram's samples buckets, count, sum."""
    texts = [number(edge) for edge in edges] + ["+Inf"]
    buckets = [f"{name}_bucket{label_set({**labels, 'le': edge})}" for edge in texts]
    inside = label_set(labels)
    return [*buckets, f"{name}_count{inside}", f"{name}_sum{inside}"]
