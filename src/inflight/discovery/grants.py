"""How to grant what is missing: the commands to type."""

import re

_ACCOUNT = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})")


def how_to_grant(verbs: str, resource: str, refusal: str, namespace: str = "") -> str:
    """Commands that let us do it, in one namespace or in all; the service account is read from the API server's
    `refusal`, which names it. Only letters, digits, dots and dashes of a refusal are repeated.
    """
    found = _ACCOUNT.search(refusal)
    account = f"{found[1]}:{found[2]}" if found else "NAMESPACE:NAME"
    role = "inflight-" + re.sub(r"[^a-z0-9]+", "-", resource.lower())
    kind, where = ("role", f" -n {namespace}") if namespace else ("clusterrole", "")
    return (
        f"kubectl create {kind} {role}{where} --verb={verbs} --resource={resource} &&"
        f" kubectl create {kind}binding {role}{where} --{kind}={role} --serviceaccount={account}"
    )
