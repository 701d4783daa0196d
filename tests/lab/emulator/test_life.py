"""The command as a process: what it says, when its port answers, how it ends."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest
from click.testing import CliRunner

from inflight.cli.emulate import command
from inflight.lab.emulator import Life, ServerSettings
from inflight.sim.engine import EngineConfig
from inflight.sources.clock import ScaledClock

COMMAND = (sys.executable, "-c", "from inflight.cli import main; main()", "emulate", "--engine", "vllm")


class Process:
    """A running `inflight emulate` and the sentences it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def says(self, words: str) -> str:
        """Wait for a sentence with these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while line := (await self.process.stderr.readline()).decode():
                self.said += line
                if words in line:
                    return line
        raise AssertionError(f"{words!r} was not said, but {self.said!r}")

    async def url(self) -> str:
        return (await self.says("serving ")).split(" at ")[1].strip()

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            assert self.process.stderr is not None
            self.said += (await self.process.stderr.read()).decode()
            return await self.process.wait()


@contextlib.asynccontextmanager
async def started(*options: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *options, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, env=os.environ
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_sigterm_lets_the_running_requests_end_and_exits_0() -> None:
    async with started("--port", "0", "--speed", "5") as run, aiohttp.ClientSession() as session:
        url = await run.url()
        body = {"prompt": "go", "max_tokens": 1000, "ignore_eos": True}
        asked = asyncio.create_task(session.post(f"{url}/v1/completions", json=body))
        while True:
            async with session.get(f"{url}/metrics") as response:
                if 'vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 1.0' in (
                    await response.text()
                ):
                    break
        run.process.send_signal(signal.SIGTERM)
        await run.says("1 running requests may end within 30 s")
        async with session.get(f"{url}/health") as response:
            assert response.status == 503
        async with await asked as response:
            assert (await response.json())["usage"]["completion_tokens"] == 1000
        assert await run.ended() == 0
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{url}/health")


async def test_a_second_signal_cuts_the_rest_off_and_a_fault_is_on_from_the_start() -> None:
    async with started("--port", "0", "--fault", "error:502") as run, aiohttp.ClientSession() as session:
        url = await run.url()
        async with session.get(f"{url}/metrics") as response:
            assert response.status == 502
        body = {"prompt": "go", "max_tokens": 100_000, "ignore_eos": True, "stream": True}
        async with session.post(f"{url}/v1/completions", json=body) as response:
            assert await response.content.readline()
            run.process.send_signal(signal.SIGINT)
            await run.says("may end within")
            run.process.send_signal(signal.SIGTERM)
            await run.says("cut off 1 requests")
            with pytest.raises(aiohttp.ClientError):
                await response.content.read()
        assert await run.ended() == 0


async def test_the_port_is_refused_while_the_model_loads() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with started("--port", str(port), "--cold-start", "40", "--speed", "20") as run:
        await run.says("the port is refused for 40 s")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await run.url() == f"http://127.0.0.1:{port}"
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()


async def test_a_signal_ends_the_loading(small: EngineConfig) -> None:
    said: list[str] = []
    life = Life(ServerSettings(small), ScaledClock(1.0, 0.0), said.append)
    living = asyncio.create_task(life.run("127.0.0.1", 0, cold_start_seconds=3000, grace_seconds=30))
    async with asyncio.timeout(20):
        while not said:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await living
    assert said == ["loading small/model; the port is refused for 3000 s"]


def test_a_port_that_is_taken_is_a_sentence_and_exit_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(command, ["--port", port])
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port" in result.output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--engine", "sglang"], "'sglang' is not emulated; engines: vllm"),
        (["--preset", "gpt-9/abacus"], "there is no preset 'gpt-9/abacus'; there are llama-3.1-8b/a100-80gb"),
        (["--model", "llama-3.1-8b", "--gpu", "abacus"], "there is no preset for llama-3.1-8b on abacus"),
        (["--preset", "llama-3.1-8b/h100", "--gpu", "h100"], "leave --model and --gpu out"),
        (["--speed", "0"], "must be above 0"),
        (["--speed", "nan"], "must be above 0"),
        (["--fault", "slw"], "there is no fault 'slw'"),
        (["--answer-median", "500"], "at most their mean"),
        (["--num-gpu-blocks", "10"], "one full sequence must fit"),
        (["--max-num-batched-tokens", "100"], "is below max_num_seqs"),
        (["--cold-start", "-1"], "--cold-start"),
        (["--cold-start", "nan"], "nan is not a finite number"),
        (["--cold-start", "inf"], "inf is not a finite number"),
        (["--grace", "nan"], "nan is not a finite number"),
        (["--grace", "1e999"], "inf is not a finite number"),
        (["--answer-median", "nan"], "at most their mean"),
        (["--answer-mean", "nan"], "at most their mean"),
        (["--fault", "slow:nan"], "not 'nan'"),
        (["--host", "no.such.host.invalid", "--port", "0"], "cannot listen on no.such.host.invalid:0"),
    ],
)
def test_what_cannot_be_run_is_a_sentence_and_exit_2(options: list[str], sentence: str) -> None:
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output


def test_presets_are_listed() -> None:
    table = CliRunner().invoke(command, ["--list-presets"])
    assert table.exit_code == 0
    assert "llama-3.1-8b/a100-80gb" in table.output
    listed = json.loads(CliRunner().invoke(command, ["--list-presets", "-o", "json"]).output)["presets"]
    (a100,) = [row for row in listed if row["preset"] == "llama-3.1-8b/a100-80gb"]
    assert (a100["model"], a100["max_num_seqs"]) == ("meta-llama/Llama-3.1-8B-Instruct", 256)


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "inflight emulate --engine vllm" in result.output
