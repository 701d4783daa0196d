"""Reads a catalogue file: strict, with the line of every complaint.

The file's own words (`detect`, `match` with `~`, `like`) become the values of `inflight.signals.catalogue.records`.
"""

import re
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from inflight.documents import Document, DocumentError, load_documents
from inflight.signals.catalogue.records import (
    Across,
    Catalogue,
    Combination,
    Dedupe,
    Derive,
    Detect,
    Engine,
    Fold,
    Kind,
    LabelRule,
    Nowhere,
    Record,
    Roles,
    SignalFacts,
    VersionLabel,
    Way,
    wanted_names,
)

Path = tuple[str | int, ...]

# what may be derived from what
_KINDS: dict[str, tuple[Derive, ...]] = {
    "gauge": ("value", "count"),
    "counter": ("rate", "ratio"),
    "histogram": ("quantile", "mean"),
    "info": ("label", "label_product", "count"),
}
DERIVED = ("arrival_rate", "demand_concurrency")
"""Signals that `derive` makes of others; a catalogue must not name its own so."""


class _Way(msgspec.Struct, forbid_unknown_fields=True):
    series: str | list[str] | None = None
    type: Kind | None = None
    match: dict[str, str] = {}
    fold: Fold | None = None
    across: Across | None = None
    derive: Derive | None = None
    label: str | None = None
    labels: list[str] = []
    by: str | None = None
    drop_labels: list[str] = []
    scale: float = 1.0
    zero_beside: str = ""
    http_json: str | None = None
    field: str | None = None
    none: str | None = None
    sum_of: list[str] | None = None
    product_of: list[str] | None = None
    optional: list[str] = []
    by_role: dict[str, "_Way"] | None = None
    since: str | None = None
    until: str | None = None
    verified: str | None = None
    note: str | None = None


class _Detect(msgspec.Struct, forbid_unknown_fields=True):
    prefix: str = ""
    any_of: list[str] = []
    together_with: str = ""


class _Dedupe(msgspec.Struct, forbid_unknown_fields=True):
    group_by: list[str]
    pick: str


class _Like(msgspec.Struct, forbid_unknown_fields=True):
    engine: str
    replace: dict[str, str]


class _Version(msgspec.Struct, forbid_unknown_fields=True):
    series: str
    label: str


class _Engine(msgspec.Struct, forbid_unknown_fields=True):
    detect: _Detect | None = None
    like: _Like | None = None
    port: int | None = None
    path: str = ""
    on_by_default: bool = True
    on_switch: str | None = None
    off_switch: str | None = None
    identity_labels: dict[str, str] = {}
    engine_label_since: str | None = None
    always_match: dict[str, str] = {}
    not_match: dict[str, str] = {}
    dedupe: _Dedupe | None = None
    priority_empty: bool = False
    invalid_values: list[float] = []
    drop_labels: list[str] = []
    series_at_zero_before_traffic: bool | None = None
    update: str | None = None
    probe: dict[str, str | int] = {}
    version: _Version | None = None
    notes: str = ""
    none: str | None = None
    signals: dict[str, Any] = {}


class _Signal(msgspec.Struct, forbid_unknown_fields=True):
    unit: str
    most: float | None = None
    core: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    signals: dict[str, Any]
    engines: dict[str, Any]


def load_catalogue(text: str | bytes, name: str) -> Catalogue:
    """A catalogue from the text of its file. Raises DocumentError with line and field."""
    documents = load_documents(text, name)
    if len(documents) != 1:
        raise DocumentError(name, None, (), f"a catalogue is one document, this file has {len(documents)}")
    document = documents[0]
    file = document.convert(_File)
    if file.schema != 1:
        raise document.error(("schema",), f"schema {file.schema} is not known; this release reads schema 1")
    facts: dict[str, SignalFacts] = {}
    # converted key by key, so that a complaint knows the key and with it the line
    for signal in file.signals:
        if signal in DERIVED:
            raise document.error(("signals", signal), "this name is taken: it is derived from other signals")
        entry = document.convert(_Signal, ("signals", signal))
        facts[signal] = SignalFacts(entry.unit, entry.most, entry.core)
    engines: dict[str, Engine] = {}
    for engine_name in file.engines:
        raw = document.convert(_Engine, ("engines", engine_name))
        engines[engine_name] = _EngineReader(document, engine_name, raw, facts, engines).read()
    return Catalogue(facts, engines)


@cache
def shipped() -> Catalogue:
    """The catalogue inside the package."""
    text = resources.files("inflight.signals").joinpath("data/engines.yaml").read_bytes()
    return load_catalogue(text, "engines.yaml")


class _EngineReader:
    """Turns one engine of the file into values, keeping the path of what it looks at for complaints."""

    def __init__(
        self, document: Document, name: str, raw: _Engine, facts: dict[str, SignalFacts], known: dict[str, Engine]
    ) -> None:
        self._document = document
        self._name = name
        self._raw = raw
        self._facts = facts
        self._known = known
        self._path: Path = ("engines", name)

    def read(self) -> Engine:
        raw = self._raw
        signals: dict[str, tuple[Way, ...]] = {}
        base: Engine | None = None
        if raw.like is not None:
            base = self._known.get(raw.like.engine)
            if base is None:
                raise self._error(("like", "engine"), f"{raw.like.engine!r} is no engine above this one")
            signals = {
                signal: tuple(_renamed(way, raw.like.replace) for way in ways) for signal, ways in base.signals.items()
            }
        for signal in raw.signals:
            signals[signal] = self._ways(signal)
        if raw.none is not None:
            core = [signal for signal, facts in self._facts.items() if facts.core]
            signals = {signal: (Nowhere(raw.none),) for signal in core}
        for signal, ways in signals.items():
            self._check_parts(signal, ways, signals)
        engine = Engine(
            name=self._name,
            signals=signals,
            detect=self._detect(),
            port=raw.port,
            path=raw.path,
            always_match=self._rules("always_match", raw.always_match) or (base.always_match if base else ()),
            not_match=self._rules("not_match", raw.not_match) or (base.not_match if base else ()),
            dedupe=self._dedupe() or (base.dedupe if base else None),
            priority_empty=raw.priority_empty or (base.priority_empty if base else False),
            invalid_values=tuple(raw.invalid_values),
            drop_labels=tuple(raw.drop_labels),
            version=VersionLabel(raw.version.series, raw.version.label) if raw.version else None,
            notes=raw.notes,
        )
        return msgspec.structs.replace(engine, wanted=wanted_names(engine))

    def _error(self, path: Path, problem: str) -> DocumentError:
        return self._document.error(self._path + path, problem)

    def _detect(self) -> Detect | None:
        raw = self._raw.detect
        if raw is None:
            if self._raw.none is None:
                raise self._error((), "the field `detect` is missing")
            return None
        if bool(raw.prefix) == bool(raw.any_of):
            raise self._error(("detect",), "either `prefix` or `any_of` is needed")
        return Detect(raw.prefix, tuple(raw.any_of), raw.together_with)

    def _dedupe(self) -> Dedupe | None:
        raw = self._raw.dedupe
        if raw is None:
            return None
        how, _, label = raw.pick.partition(" ")
        if how != "lowest" or not label:
            raise self._error(("dedupe", "pick"), "only `lowest LABEL` is known")
        return Dedupe(tuple(raw.group_by), label)

    def _rules(self, field: str, raw: dict[str, str], at: Path = ()) -> tuple[LabelRule, ...]:
        rules = []
        for label, value in raw.items():
            if not value.startswith("~"):
                rules.append(LabelRule(label, value))
                continue
            try:
                re.compile(value[1:])
            except re.error as error:
                raise self._error((*at, field, label), f"not a regular expression: {error}") from error
            rules.append(LabelRule(label, pattern=value[1:]))
        return tuple(rules)

    def _ways(self, signal: str) -> tuple[Way, ...]:
        if signal not in self._facts:
            raise self._error(("signals", signal), "no such signal in the list at the top of the file")
        written: type[Any] = list[_Way] if isinstance(self._raw.signals[signal], list) else _Way
        raw: _Way | list[_Way] = self._document.convert(written, (*self._path, "signals", signal))
        if isinstance(raw, _Way):
            return (self._way(raw, ("signals", signal)),)
        if not raw:
            raise self._error(("signals", signal), "the list is empty; say `none: REASON` instead")
        return tuple(self._way(way, ("signals", signal, index)) for index, way in enumerate(raw))

    def _way(self, raw: _Way, at: Path) -> Way:
        forms = [raw.series, raw.none, raw.http_json, raw.sum_of, raw.product_of, raw.by_role]
        if sum(form is not None for form in forms) != 1:
            raise self._error(at, "one of series, sum_of, product_of, by_role, http_json and none is needed")
        if raw.none is not None:
            return Nowhere(raw.none)
        if raw.http_json is not None:
            what = f", field {raw.field}" if raw.field else ""
            return Nowhere(f"not on the metrics page; the server says it at GET {raw.http_json}{what}")
        if raw.by_role is not None:
            return self._roles(raw.by_role, at)
        if raw.sum_of is not None or raw.product_of is not None:
            return _combination(raw)
        return self._record(raw, at)

    def _roles(self, raw: dict[str, _Way], at: Path) -> Roles:
        label = self._raw.identity_labels.get("role")
        if label is None:
            raise self._error(at, "by_role needs the engine's identity_labels.role")
        if "unified" not in raw:
            raise self._error((*at, "by_role"), "the role `unified` is missing")
        by_role = {}
        for role, way in raw.items():
            if way.sum_of is None:
                raise self._error((*at, "by_role", role), "the field `sum_of` is missing")
            by_role[role] = _combination(way)
        return Roles(label, by_role)

    def _record(self, raw: _Way, at: Path) -> Record:
        series = (raw.series,) if isinstance(raw.series, str) else tuple(raw.series or ())
        if raw.type is None or raw.derive is None or raw.across is None:
            raise self._error(at, "type, derive and across are needed beside series")
        if raw.derive not in _KINDS[raw.type]:
            raise self._error((*at, "derive"), f"{raw.derive} cannot be had from a {raw.type}")
        if raw.derive == "count":
            fold: Fold = "sum"
        elif raw.fold is None:
            raise self._error(at, "the field `fold` is missing")
        else:
            fold = raw.fold
        if len(series) != (2 if raw.derive == "ratio" else 1):
            raise self._error((*at, "series"), "a ratio has two series, everything else one")
        named: dict[str, list[str]] = {"label": [raw.label or ""], "label_product": raw.labels, "count": [raw.by or ""]}
        labels = named.get(raw.derive, [])
        if raw.derive in named and not all(labels or [""]):
            raise self._error(at, f"{raw.derive} needs the name of its label")
        return Record(
            series=series,
            kind=raw.type,
            derive=raw.derive,
            fold=fold,
            across=raw.across,
            match=self._rules("match", raw.match, at),
            drop_labels=tuple(raw.drop_labels) + tuple(self._raw.drop_labels),
            labels=tuple(labels),
            scale=raw.scale,
            zero_beside=raw.zero_beside,
        )

    def _check_parts(self, signal: str, ways: tuple[Way, ...], signals: dict[str, Any]) -> None:
        combinations: list[Combination] = []
        for way in ways:
            if isinstance(way, Combination):
                combinations.append(way)
            elif isinstance(way, Roles):
                combinations += way.by_role.values()
        for combination in combinations:
            for part in (*combination.parts, *combination.optional):
                if part not in signals:
                    raise self._error(("signals", signal), f"the part {part!r} is no signal of this engine")
                if any(isinstance(way, Combination | Roles) for way in signals[part]):
                    raise self._error(("signals", signal), f"the part {part!r} is itself made of parts")


def _combination(raw: _Way) -> Combination:
    if raw.sum_of is not None:
        return Combination("sum_of", tuple(raw.sum_of), tuple(raw.optional), raw.across or "sum")
    return Combination("product_of", tuple(raw.product_of or ()), tuple(raw.optional), raw.across or "sum")


def _renamed(way: Way, replace: dict[str, str]) -> Way:
    if not isinstance(way, Record):
        return way
    series = []
    for name in way.series:
        for old, new in replace.items():
            name = name.replace(old, new)
        series.append(name)
    return msgspec.structs.replace(way, series=tuple(series))
