"""What the page, the table and the report say in words: what runs, what it is worth, and what it is not."""

from typing import Any

from inflight.lab.settings import LabSettings, describe_metrics


def page_setup(settings: LabSettings) -> dict[str, Any]:
    """The fixed part of the page, as lab.js reads it."""
    hpa = settings.in_flight_hpa()
    return {
        "title": "Inflight lab: the same requests, two autoscalers",
        "lead": (
            f"Two fleets of emulated vLLM servers ({settings.engine.model} on {settings.engine.gpu}) get the same "
            f"requests. Their HorizontalPodAutoscalers differ in their metrics only. A request is within the SLO if "
            f"its first token comes within {settings.slo.ttft_seconds:g} s and its tokens follow within "
            f"{settings.slo.mean_itl_seconds * 1000:.0f} ms on average; all requests that arrive count."
        ),
        "slo": {"ttft_seconds": settings.slo.ttft_seconds, "itl_seconds": settings.slo.mean_itl_seconds},
        "horizon_seconds": settings.ramp.seconds,
        "max_replicas": hpa.spec.max_replicas,
        "batch_limit": settings.engine.max_num_seqs,
        "policies": [
            {
                "name": "cpu",
                "label": label("cpu", settings),
                "metric": f"HPA: {describe_metrics(settings.cpu_hpa())} ({settings.cpu_request_cores:g} cores)",
            },
            {"name": "in-flight", "label": label("in-flight", settings), "metric": f"HPA: {describe_metrics(hpa)}"},
        ],
        "notes": notes(settings),
    }


def label(name: str, settings: LabSettings) -> str:
    """A policy's name for people. The two live policies have fixed names; those beside them name themselves."""
    if name == "cpu":
        return f"CPU at {settings.cpu_target_percent} %"
    if name == "in-flight":
        return "Work in flight" if settings.hpa is None else "The given HPA"
    return name


def notes(settings: LabSettings) -> list[str]:
    """What a sceptic wants to know before believing the numbers."""
    model = settings.fleet_setup().cpu
    lengths = settings.trace
    return [
        f"Lengths and gaps of {lengths.requests:,} requests come from {lengths.name}; the gaps are divided by a factor "
        f"that goes {settings.ramp} (factor:seconds). The trace repeats when it runs out.",
        f"A pod needs {settings.cold_start.shortest_seconds:g} to {settings.cold_start.longest_seconds:g} s until it "
        f"serves; pod 3 of one fleet takes as long as pod 3 of the other.",
        f"CPU of a serving pod: {model.busy_cores:g} core while any request runs, "
        f"{model.seconds_per_output_token * 1e6:g} us a token sent, {model.idle_cores:g} core idle. It is handed to "
        "the HPA as metrics-server would report it (15 s resolution), in process: there is no kubelet here.",
        "Requests reach the emulated servers in process. The metrics of the in-flight fleet travel over real sockets: "
        "each pod's page, the scrape, the HTTPS metrics API, the HPA's requests.",
        "Time is compressed; no object is edited: HPA syncs are 15 s, scrapes 1 s, windows 300 s of model time.",
        "Replica-hours count every pod that holds a GPU: loading, ready or draining.",
    ]


def caption(horizon_seconds: float, speed: float, slip: float) -> str:
    """Under the headline of the table."""
    minutes = horizon_seconds / 60
    return (
        f"{minutes:.1f} minutes of model time at {speed:.1f}x, clock slip {100 * slip:.2f} %. The first two rows ran "
        "live; any others are the same model and the same requests in the simulator."
    )
