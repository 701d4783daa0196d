"""What is known about the metrics pages of inference engines: records, their file, and which engine wrote a page."""

from inflight.signals.catalogue.detect import detect, prefixes_on
from inflight.signals.catalogue.file import load_catalogue, shipped
from inflight.signals.catalogue.records import Catalogue, Engine

__all__ = ["Catalogue", "Engine", "detect", "load_catalogue", "prefixes_on", "shipped"]
