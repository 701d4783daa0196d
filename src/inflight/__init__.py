"""Autoscaling of LLM inference on Kubernetes by the work in flight. The rooms: docs/architecture.md."""

__version__ = "0.1.0.dev0"
