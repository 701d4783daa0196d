"""An HPA of a running cluster, seen as its controller sees it: looked at through the same APIs, decided, compared.

The edge part asks the API server (`look`, `metric_requests`, `kinds`, `history`); the rest takes values and returns
values: what can be known of the controller's memory (`evidence`), whether it agrees with what the controller wrote
itself (`agreement`), and all of it as an answer (`answer`).
"""
