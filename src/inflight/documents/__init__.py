"""YAML and JSON texts as plain values that remember where each of them stood.

Everything a person writes for Inflight (targets, an HPA, the engine catalogue) comes through here, so that every
complaint can name file, line and field. Pure: text in, values out.
"""

from inflight.documents.yaml import Document, DocumentError, load_documents

__all__ = ["Document", "DocumentError", "load_documents"]
