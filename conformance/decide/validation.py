# ruff: noqa: INP001 - a script beside the Go judge, not a package.
"""What the API server refuses, and in which words, against what the engine says of the same HPA.

    python conformance/decide/validation.py                     both releases, by the API server's own code in the judge
    python conformance/decide/validation.py --server 400        and so many by a running kube-apiserver (dryRun=All)

Compared are the field and the reason of every cause, as sets; that the causes' words stand in the engine's sentences;
and where the HPA is taken, what is stored of its spec. Exit code 1 where anything differs.
"""

import argparse
import contextlib
import json
import re
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from chunks import HERE, RELEASES, ask_judge, judge_of
from hpas import autoscaler
from mutants import mutant
from spelling import Draw

from inflight.objects import (
    ObjectError,
    QuantityError,
    decode_hpa,
    parse_quantity,
    set_defaults,
    to_json,
    to_plain,
    validate,
)

LONG = "a" * 254
NAMES = ("", ".", "..", "a/b", "50%", "A_b", "-a", "a-", "a.b", LONG, "é", "x y", "cpu", "nvidia.com/gpu",
         "requests.cpu", "kubernetes.io/x", "hugepages-2Mi", "requests.a/b", "a//b", "/b", "pods")  # fmt: skip
NUMBERS = (0, -1, 1, 2, 1800, 1801, 3600, 3601, 2**31 - 1, -(2**31))
QUANTITIES = ("0", "-1", "1", "500u", "1n", "-1n", "0.0000000001", "-0.0000000001", "8Ei", "1e3", "1", 5, 0.5, "+1")
KINDS = ("", "Deployment", "ReplicationController", "Thing", "a/b", "..")
VERSIONS = ("", "v1", "apps/v1", "a/b/c", "/v1", "apps/", "example.com/v1alpha1", "/", "//")
TYPES = ("", "Utilization", "Value", "AverageValue", "Foo", "value")
SOURCES = ("Object", "External", "Pods", "Resource", "ContainerResource", "", "Foo", "object")
LABELS = ({}, {"a": "b"}, {"a b": "c"}, {"a": "b c"}, {"": ""}, {"a/b/c": "d"}, {"-a/b": "d"}, {"/a": "b"}, {"a/": "b"},
          {"a": "x" * 64}, {"k" * 64: "v"}, {"é": "ü"}, {"A.B/c_d": "E-f.g"})  # fmt: skip


def broken_hpa(draw: Draw) -> dict[str, Any]:
    """A drawn HPA with one to four things wrong, or almost wrong."""
    hpa, _ = autoscaler(draw)
    hpa.pop("status", None)
    for _ in range(draw.weighted((5, 1), (3, 2), (2, 4))):
        draw.choice(BREAKERS)(draw, hpa)
    if draw.chance(0.1):
        spoiled = mutant(draw, hpa)
        hpa = spoiled if isinstance(spoiled.get("metadata"), dict) else hpa
    return hpa


def _bounds(draw: Draw, hpa: dict[str, Any]) -> None:
    hpa["spec"][draw.choice(["minReplicas", "maxReplicas"])] = draw.choice(NUMBERS)


def _unset(draw: Draw, hpa: dict[str, Any]) -> None:
    hpa["spec"].pop(draw.choice(["maxReplicas", "minReplicas", "metrics", "scaleTargetRef", "behavior"]), None)


def _target_ref(draw: Draw, hpa: dict[str, Any]) -> None:
    hpa["spec"]["scaleTargetRef"] = reference(draw)


def reference(draw: Draw) -> dict[str, Any]:
    values = {"kind": draw.choice(KINDS), "name": draw.choice(NAMES), "apiVersion": draw.choice(VERSIONS)}
    return {name: value for name, value in values.items() if not draw.chance(0.15)}


def _metric(draw: Draw, hpa: dict[str, Any]) -> None:
    """One entry of the list, put together from parts that need not fit."""
    entry: dict[str, Any] = {"type": draw.choice(SOURCES)}
    identifier = {"name": draw.choice(NAMES)}
    for source, more in (
        ("object", {"describedObject": reference(draw), "metric": identifier}),
        ("external", {"metric": identifier}),
        ("pods", {"metric": identifier}),
        ("resource", {"name": draw.choice(NAMES)}),
        ("containerResource", {"name": draw.choice(NAMES), "container": draw.choice(NAMES)}),
    ):
        if draw.chance(0.9 if entry["type"].lower() == source.lower() else 0.12):
            entry[source] = {**more, "target": target(draw)}
    metrics = hpa["spec"].setdefault("metrics", [])
    if metrics and draw.chance(0.5):
        metrics[draw.randrange(len(metrics))] = entry
    else:
        metrics.append(entry)


def target(draw: Draw) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if draw.chance(0.9):
        values["type"] = draw.choice(TYPES)
    for name, choices in (("value", QUANTITIES), ("averageValue", QUANTITIES), ("averageUtilization", NUMBERS)):
        if draw.chance(0.4):
            values[name] = draw.choice(choices)
    return values


def _behavior(draw: Draw, hpa: dict[str, Any]) -> None:
    rules: dict[str, Any] = {}
    if draw.chance(0.5):
        rules["stabilizationWindowSeconds"] = draw.choice(NUMBERS)
    if draw.chance(0.5):
        rules["selectPolicy"] = draw.choice(["Max", "Min", "Disabled", "", "max", "Foo"])
    if draw.chance(0.6):
        rules["policies"] = [
            {
                "type": draw.choice(["Pods", "Percent", "", "pods"]),
                "value": draw.choice(NUMBERS),
                "periodSeconds": draw.choice(NUMBERS),
            }
            for _ in range(draw.choice([0, 1, 2]))
        ]
    if draw.chance(0.5):
        rules["tolerance"] = draw.choice(QUANTITIES)
    behavior = hpa["spec"].setdefault("behavior", {})
    behavior[draw.choice(["scaleUp", "scaleDown"])] = rules


def _metadata(draw: Draw, hpa: dict[str, Any]) -> None:
    metadata = hpa["metadata"]
    match draw.randrange(5):
        case 0:
            metadata["name"] = draw.choice(NAMES)
            if draw.chance(0.4):
                metadata["generateName"] = draw.choice([*NAMES, "web-", "A-", "a" * 70])
        case 1:
            metadata["labels"] = draw.choice(LABELS)
        case 2:
            metadata["annotations"] = draw.choice([*LABELS, {"a": "x" * (256 << 10)}])
        case 3:
            metadata["finalizers"] = draw.choice(
                [["a/b"], ["kubernetes"], ["x"], ["orphan", "foregroundDeletion"], [""], ["a b"], ["orphan"]]
            )
        case _:
            owner = {"apiVersion": draw.choice(VERSIONS), "kind": draw.choice(KINDS), "name": "x", "uid": "u"}
            owner.pop(draw.choice(["name", "uid", "kind", "none", "none"]), None)
            owners = [owner, {"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "w"}]
            metadata["ownerReferences"] = [
                {**each, "controller": draw.chance(0.7)} for each in draw.sample(owners, draw.randint(1, 2))
            ]


BREAKERS: tuple[Callable[[Draw, dict[str, Any]], None], ...] = (
    _bounds, _bounds, _unset, _target_ref, _metric, _metric, _metric, _behavior, _behavior, _metadata,
)  # fmt: skip

Verdict = tuple[str, Any]
"""`stored` and the spec, `causes` and (field, reason, message) of each, or `unreadable` and why."""


def engine_says(case: dict[str, Any], release: str) -> Verdict:
    gates = case.get("featureGates")
    try:
        old = None
        if "over" in case:
            old = set_defaults(decode_hpa(case["over"]), release, gates)
            if validate(old, release, gates):
                return "unreadable", "the old one is refused"
            if case["admit"].get("spec") is None:
                return "unreadable", "an edit without a spec"
            replacing = {"metadata": to_plain(old.metadata), "spec": case["admit"]["spec"]}
            hpa = set_defaults(decode_hpa(replacing), release, gates, old)
        else:
            hpa = set_defaults(decode_hpa(case["admit"]), release, gates)
    except ObjectError as error:
        return "unreadable", str(error)
    errors = validate(hpa, release, gates, old)
    if errors:
        return "causes", [(each.field, str(each.reason), each.problem) for each in errors]
    return "stored", to_plain(hpa.spec)


def judge_says(answer: dict[str, Any]) -> Verdict:
    if answer.get("error") is not None:
        return "unreadable", answer["error"]
    if answer.get("causes"):
        return "causes", [(each["field"], each["reason"], each["message"]) for each in answer["causes"]]
    return "stored", answer["stored"]["spec"]


def differences(ours: Verdict, theirs: Verdict) -> Iterator[str]:
    """Of fields and reasons, of words, of what is stored."""
    if ours[0] != theirs[0]:
        yield f"{ours[0]} and {theirs[0]}: {str(ours[1])[:300]} and {str(theirs[1])[:300]}"
    elif ours[0] == "causes":
        mine, others = {each[:2] for each in ours[1]}, {each[:2] for each in theirs[1]}
        for field, reason in sorted(mine - others):
            yield f"only the engine refuses {field} ({reason})"
        for field, reason in sorted(others - mine):
            yield f"the engine does not refuse {field} ({reason})"
        if mine == others:
            for field, reason, message in theirs[1]:
                said = [problem for f, r, problem in ours[1] if (f, r) == (field, reason)]
                if not any(same_words(message, problem) for problem in said):
                    yield f"{field}: {message!r} against {said}"
    elif ours[0] == "stored" and without_nulls(ours[1]) != without_nulls(theirs[1]):
        yield f"stored: {json.dumps(ours[1])[:600]} and {json.dumps(theirs[1])[:600]}"


def same_words(message: str, problem: str) -> bool:
    """Whether the beginning of the engine's sentence stands in the cause's message."""
    if message == "Required value" or message.startswith("Unsupported value"):
        return True
    begins = re.split(r"(?:, not |, which |: |; | \(the )", problem)[0]
    return begins in message


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kept for key, each in value.items() if (kept := without_nulls(each)) not in (None, {}, [], "")}
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    if isinstance(value, str):
        # Some spellings (15e0, +1) survive in what is stored, unlike in what anything computes with.
        with contextlib.suppress(QuantityError):
            return str(parse_quantity(value))
    return value


def drawn_cases(seed: int, release: str, count: int) -> list[dict[str, Any]]:
    draw = Draw(f"validation/{release}/{seed}")
    cases = []
    for index in range(count):
        case: dict[str, Any] = {"id": f"v-{seed}-{index}", "kubernetes": release, "admit": broken_hpa(draw)}
        if draw.chance(0.25):
            case["over"] = case["admit"] if draw.chance(0.1) else broken_hpa(draw) if draw.chance(0.3) else valid(draw)
        if draw.chance(0.3):
            case["featureGates"] = {"HPAScaleToZero": draw.chance(0.5)}
        if release == "1.36" and draw.chance(0.3):
            case.setdefault("featureGates", {})["HPAConfigurableTolerance"] = draw.chance(0.3)
        cases.append(case)
    return cases


def valid(draw: Draw) -> dict[str, Any]:
    hpa, _ = autoscaler(draw)
    hpa.pop("status", None)
    return hpa


def ask_server(url: str, context: Any, hpa: dict[str, Any]) -> Verdict:
    """A running API server's answer to creating it, which leaves nothing behind."""
    body = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", **hpa}
    namespace = "default"
    request = urllib.request.Request(  # noqa: S310 - a control plane of ours
        f"{url}/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers?dryRun=All",
        data=to_json(body),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:  # noqa: S310
            return "stored", json.loads(answer.read())["spec"]
    except urllib.error.HTTPError as error:
        status = json.loads(error.read())
        causes = (status.get("details") or {}).get("causes")
        if status["code"] == 422 and causes:
            return "causes", [(each["field"], each["reason"], each["message"]) for each in causes]
        return "unreadable", f"{status['code']} {status['message']}"


def compare_with_judge(release: str, seed: int, count: int, say: Callable[[str], None]) -> Counter[str]:
    cases = drawn_cases(seed, release, count)
    judged = ask_judge(judge_of(release), [to_json(case) for case in cases])
    return tally(cases, lambda case: judge_says(judged[case["id"]]), release, say)


def compare_with_server(seed: int, count: int, say: Callable[[str], None]) -> Counter[str]:
    sys.path.insert(0, str(HERE.parent / "cluster"))
    from control_plane import control_plane
    from programs import Programs

    cases = [each for each in drawn_cases(seed, "1.37", 2 * count) if not each.keys() & {"over", "featureGates"}]
    for case in cases:
        # The namespace of the request is the one of the object, and must be there.
        case["admit"]["metadata"].pop("namespace", None)
    with control_plane(Programs()) as plane:
        context = plane.admin_context()
        return tally(cases[:count], lambda case: ask_server(plane.url, context, case["admit"]), "1.37", say)


def tally(
    cases: list[dict[str, Any]], ask: Callable[[dict[str, Any]], Verdict], release: str, say: Callable[[str], None]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    for case in cases:
        theirs = ask(case)
        counts["HPAs"] += 1
        counts[theirs[0]] += 1
        if theirs[0] == "causes":
            counts["causes in all"] += len(theirs[1])
            counts.update(f"field {re.sub(r'[0-9]+', 'N', field)} {reason}" for field, reason, _ in theirs[1])
        found = list(differences(engine_says(case, release), theirs))
        counts["differing"] += bool(found)
        if found:
            say(f"{case['id']} ({release}): {'; '.join(found[:4])}\n    {json.dumps(case)[:1500]}\n")
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5000, help="HPAs for each release")
    parser.add_argument("--server", type=int, default=0, help="HPAs for a running kube-apiserver 1.37.2")
    parser.add_argument("--fields", action="store_true", help="print which fields were refused how often")
    options = parser.parse_args()
    differing = 0
    runs = [
        (f"the API server's code of {each}", compare_with_judge(each, options.seed, options.count, sys.stdout.write))
        for each in RELEASES
    ]
    if options.server:
        runs.append(
            ("a running kube-apiserver 1.37.2", compare_with_server(options.seed + 1, options.server, sys.stdout.write))
        )
    for name, counts in runs:
        differing += counts["differing"]
        fields = {key: count for key, count in counts.items() if key.startswith("field ")}
        sys.stdout.write(
            f"{name}: {counts['HPAs']} HPAs, {counts['stored']} stored, {counts['unreadable']} unreadable,"
            f" {counts['causes']} refused with {counts['causes in all']} causes, {len(fields)} different ones of them;"
            f" {counts['differing']} differ\n"
        )
        if options.fields:
            for key, count in sorted(fields.items()):
                sys.stdout.write(f"  {count:>6} {key.removeprefix('field ')}\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
