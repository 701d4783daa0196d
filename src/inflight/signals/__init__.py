"""Metrics pages of inference engines: read, understood by the catalogue, and turned into canonical signals.

    reader = PageReader(shipped())
    earlier = reader.read(body)  # bytes of a page -> PageReading
    values = derive(reader.read(later_body), earlier, 5.0)  # -> {"in_flight": SignalValue, "ttft_p95": Missing, ...}

Pure: bytes and numbers in, values out; time is an argument.
"""

from inflight.signals.catalogue import Catalogue, Engine, load_catalogue, shipped
from inflight.signals.derive import derive, totals
from inflight.signals.exposition.page import ForeignPageError, Page, PageError, Problem, Sample, parse_page
from inflight.signals.layouts import LayoutCache
from inflight.signals.reader import PageReader
from inflight.signals.readings import (
    Counter,
    Gauge,
    Histogram,
    Missing,
    PageReading,
    Ratio,
    Reading,
    SignalValue,
    Source,
)
from inflight.signals.writer import CONTENT_TYPE, Family, OutSample, WriteError, render

__all__ = [
    "CONTENT_TYPE",
    "Catalogue",
    "Counter",
    "Engine",
    "Family",
    "ForeignPageError",
    "Gauge",
    "Histogram",
    "LayoutCache",
    "Missing",
    "OutSample",
    "Page",
    "PageError",
    "PageReader",
    "PageReading",
    "Problem",
    "Ratio",
    "Reading",
    "Sample",
    "SignalValue",
    "Source",
    "WriteError",
    "derive",
    "load_catalogue",
    "parse_page",
    "render",
    "shipped",
    "totals",
]
