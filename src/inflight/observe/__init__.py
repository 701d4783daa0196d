"""An HPA of a running cluster, seen as its controller sees it: looked at through the same APIs, decided, compared.

`looking` asks the API server; `session` puts a question together, `watch` goes on asking. The rest takes values and
returns values: what can be known of the controller's memory (`evidence`, `hold`), whether the decision agrees with what
the controller wrote itself (`agreement`), and all of it as an answer (`answer`).
"""
