"""`inflight explain hpa/NAME`: the part that asks a cluster, once or sync by sync.

Exit codes as those of `explain`; Ctrl-C ends a watch with 0.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from inflight.cli.explain import echo_wrapped, explanation_lines

if TYPE_CHECKING:
    from inflight.cluster import Client, ClusterConfig
    from inflight.observe.answer import Live, LiveAnswer
    from inflight.observe.recorder import Memories, Recorder
    from inflight.observe.session import Session
    from inflight.observe.watch import Block, Tally


class Question(msgspec.Struct, frozen=True):
    """The command line."""

    name: str
    namespace: str | None
    kubeconfig: Path | None
    context: str | None
    server: str | None
    watch: bool
    record: Path | None
    kubernetes: str | None
    flags: tuple[str, ...]
    settings: tuple[str, ...]
    changes: bool
    output: str


class Place(msgspec.Struct, frozen=True):
    """Which cluster, and the namespace that its context names."""

    config: "ClusterConfig"
    namespace: str


def run(question: Question) -> int:
    """The exit code. Raises UsageError for what is wrong with the question."""
    from inflight.cluster import ConfigError
    from inflight.hpa.settings import SettingError
    from inflight.observe.assumptions import ControllerFlagError
    from inflight.observe.looking.errors import ObserveError

    try:
        place = find_place(question, os.environ)
        return asyncio.run(_run(question, place))
    except (ControllerFlagError, SettingError) as error:
        raise click.UsageError(str(error)) from error
    except ConfigError as error:
        return _complain(question, "Config", _with_exec_hint(str(error)), ())
    except ObserveError as error:
        return _complain(question, error.code.value, str(error), error.hints)
    except BrokenPipeError:
        # Whoever read the answers has had enough.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 0 if question.watch else 130


def find_place(question: Question, environment: "os._Environ[str] | dict[str, str]") -> Place:
    """The cluster as kubectl would find it. Raises ConfigError."""
    from inflight.cluster import ClusterConfig, ConfigError, in_cluster

    if question.server is not None:
        if question.kubeconfig is not None or question.context is not None:
            raise click.UsageError("--server takes the place of --kubeconfig and --context; give one or the other")
        if not question.server.startswith(("http://", "https://")):
            raise click.UsageError("--server must be a URL, such as http://127.0.0.1:8001 of a `kubectl proxy`")
        return Place(ClusterConfig(server=question.server.rstrip("/"), source="--server"), "")
    if question.kubeconfig is not None:
        return _read_place(question.kubeconfig, question.context)
    listed = [Path(part) for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    files = [file for file in (listed or [Path.home() / ".kube" / "config"]) if file.is_file()]
    if not files:
        if environment.get("KUBERNETES_SERVICE_HOST"):
            return Place(in_cluster(environment), "")
        looked = ", ".join(map(str, listed)) or "~/.kube/config"
        raise ConfigError(f"there is no kubeconfig ({looked}): give one with --kubeconfig, or --server")
    problem: ConfigError | None = None
    for file in files:
        # kubectl merges them; one that has the context, its cluster and its user is enough.
        try:
            return _read_place(file, question.context)
        except ConfigError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _read_place(file: Path, context: str | None) -> Place:
    from inflight.cluster import read_kubeconfig
    from inflight.documents import load_documents

    config = read_kubeconfig(file, context)
    plain = load_documents(file.read_bytes(), str(file))[0].value
    name = context or plain.get("current-context")
    # The context itself was checked just now; its neighbours may be anything.
    contexts = [each for each in plain["contexts"] if isinstance(each, dict) and each.get("name") == name]
    namespace = contexts[0]["context"].get("namespace")
    return Place(config, namespace if isinstance(namespace, str) else "")


def _with_exec_hint(text: str) -> str:
    if ".exec" not in text and "auth-provider" not in text:
        return text
    return (
        f"{text}. Programs that fetch credentials are not run here: start `kubectl proxy`, which runs them, and give"
        " --server http://127.0.0.1:8001"
    )


def _complain(question: Question, code: str, sentence: str, hints: tuple[str, ...]) -> int:
    from inflight.signals.foreign import printable

    if question.output == "json":
        sys.stdout.buffer.write(
            msgspec.json.encode({"error": {"code": code, "text": sentence, "hints": hints}}) + b"\n"
        )
        sys.stdout.buffer.flush()
    for line in (f"inflight explain: {sentence}", *(f"  {hint}" for hint in hints)):
        click.echo(printable(line), err=True)
    return 2


async def _run(question: Question, place: Place) -> int:
    from inflight.cluster import Client
    from inflight.hpa.settings import parse_setting
    from inflight.observe.looking.look import Looker
    from inflight.observe.recorder import Memories, Recorder
    from inflight.observe.session import Session, Wanted

    namespace = question.namespace or place.namespace or "default"
    wanted = Wanted(
        kubernetes=question.kubernetes,
        flags=question.flags,
        settings=tuple(parse_setting(text) for text in question.settings),
        with_changes=question.changes,
    )
    memories = Memories()
    recorder = None
    if question.record is not None:
        recorder = Recorder(question.record, f"{namespace}/{question.name}", memories)
        recorder.read()
    async with Client(place.config) as client:
        looker = Looker(client, namespace, question.name, time_ns=time.time_ns, now=time.monotonic)
        session = Session(client, place.config.server, looker, wanted, memories)
        if question.watch:
            return await _watch(question, session, client, memories, recorder)
        seen = await session.see(await session.look())
        answer = await session.answer(seen)
        if recorder is not None:
            recorder.append(seen.record)
        _print(answer, question.output)
        return 1 if answer.is_unexplained else 0


async def _watch(
    question: Question, session: "Session", client: "Client", memories: "Memories", recorder: "Recorder | None"
) -> int:
    from inflight.observe.assumptions import given_controller
    from inflight.observe.syncs import StatusWatch
    from inflight.observe.watch import Parts, Watch

    parts = Parts(
        look=session.look,
        see=session.see,
        answer=session.answer,
        status=StatusWatch(client, session.namespace, session.name, time.time_ns),
        memories=memories,
        recorder=recorder,
        time_ns=time.time_ns,
        period_seconds=given_controller(question.flags).sync_period_seconds,
    )
    watch = Watch(parts)
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also in the middle of a request that nobody answers.
        loop.add_signal_handler(number, task.cancel)
    is_unexplained = False
    try:
        async for block in watch.blocks(asyncio.Event()):
            _print_block(block, question.output)
            is_unexplained = block.answer is not None and block.answer.is_unexplained
    except asyncio.CancelledError:
        # Asked to end: that is no failure.
        task.uncancel()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        watch.finish()
        _sum_up(watch.tally, recorder)
    return 1 if is_unexplained else 0


def _sum_up(tally: "Tally", recorder: "Recorder | None") -> None:
    parts = [f"{tally.as_computed} syncs came out as computed"]
    parts += [f"{tally.otherwise} otherwise"] if tally.otherwise else []
    parts += [f"{tally.lost} saw other values than the look before"] if tally.lost else []
    parts += [f"{recorder.written} records written"] if recorder is not None else []
    click.echo(f"watched: {', '.join(parts)}", err=True)


def _print(answer: "LiveAnswer", output: str) -> None:
    from inflight.objects import to_json

    if output == "json":
        sys.stdout.buffer.write(to_json(answer) + b"\n")
        sys.stdout.buffer.flush()
        return
    echo_wrapped(live_lines(answer))


def _print_block(block: "Block", output: str) -> None:
    """News in full, the rest in a line; what became of the last look goes before."""
    from inflight.objects import to_json
    from inflight.observe.hold import clock

    if output == "json":
        plain = {"answer": block.answer, "followed": block.followed, "problem": block.problem}
        sys.stdout.buffer.write(to_json(plain) + b"\n")
        sys.stdout.buffer.flush()
        return
    if block.followed and not block.is_routine:
        echo_wrapped([f"  = {block.followed}"])
    if block.answer is None:
        echo_wrapped([f"  ! {block.problem}"])
    elif block.is_news:
        click.echo("")
        echo_wrapped(live_lines(block.answer))
        click.echo("")
    else:
        explanation = block.answer.explanation
        echo_wrapped([f"{clock(explanation.now_ns, explanation.now_ns)}  {explanation.sentence}"])
    sys.stdout.flush()


def live_lines(answer: "LiveAnswer") -> Iterator[str]:
    """The whole answer for people."""
    yield from explanation_lines(answer.explanation, answer.settings, answer.recorded, before="now")
    live = answer.live
    yield ""
    yield "The controller"
    yield f"  {live.comparison.text}"
    timing = _timing(live, answer.explanation.now_ns)
    if timing:
        yield f"  {timing}"
    if live.notes:
        yield ""
        yield "Worth knowing"
        for note in live.notes:
            yield f"  - {note.text}"
    yield ""
    yield "Assumed"
    for assumption in live.assumptions:
        yield f"  - {assumption.text}"
    if live.unseen:
        yield ""
        yield "Not seen"
        for sentence in live.unseen:
            yield f"  - {sentence}"


def _timing(live: "Live", now_ns: int) -> str:
    from inflight.observe.hold import clock

    parts = []
    if live.comparison.controller.written_ns is not None:
        parts.append(f"Its status last changed at {clock(live.comparison.controller.written_ns, now_ns)}.")
    if live.next_sync_ns is not None:
        parts.append(f"The next sync is due at about {clock(live.next_sync_ns, now_ns)}.")
    return " ".join(parts)
