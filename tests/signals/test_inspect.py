"""The command `inflight inspect`, from files and from servers that behave and misbehave."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from inflight.cli.inspect import command
from inflight.signals import shipped
from inflight.sources import Collector, Target, WallClock
from inflight.sources.connections import MAX_PAGE_BYTES
from inflight.sources.schedule import DEADLINE_SECONDS

PAGES = Path(__file__).parents[1] / "data" / "metrics-pages"
EARLIER, LATER = (str(PAGES / f"vllm-0.33.0-seq-t{at}.txt") for at in ("060", "075"))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(command, list(arguments), input=stdin)


def as_json(*arguments: str, stdin: bytes | None = None) -> dict[str, Any]:
    result = run(*arguments, "-o", "json", stdin=stdin)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


async def run_beside(*arguments: str) -> Result:
    """The command in a thread of its own, while servers of this loop answer it."""
    return await asyncio.to_thread(run, *arguments)


@asynccontextmanager
async def serving(handler: Handler, path: str = "/{path:.*}", tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get(path, handler)
    server = TestServer(app)
    await server.start_server(ssl=tls)
    try:
        yield f"localhost:{server.port}"
    finally:
        await server.close()


def pages(*bodies: str) -> Handler:
    """Answers with one page after the other, the last one for ever."""
    left = list(bodies)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=left.pop(0) if len(left) > 1 else left[0])

    return answer


def vllm(tokens: int) -> str:
    return (
        "vllm:num_requests_running 3\nvllm:num_requests_waiting 1\n"
        f'vllm:generation_tokens_total{{engine="0"}} {tokens}\n'
    )


class TestFiles:
    def test_one_file_gives_values_totals_and_says_why_there_are_no_rates(self) -> None:
        report = as_json(str(PAGES / "vllm-0.33.0-busy.txt"))
        assert report["engine"] == "vllm"
        assert report["version"] is None
        assert report["pages"] == 1
        running = report["signals"]["running"]
        assert running["value"] == 24.0
        assert running["unit"] == "requests"
        assert running["series"] == ["vllm:num_requests_running"]
        assert (running["fold"], running["rows"], running["across"]) == ("sum", 1, "sum")
        assert "one page gives totals only" in report["missing"]["generation_tokens_rate"]
        assert report["totals"]["generation_tokens_rate"]["value"] == 333483.0
        assert "batch_limit" in report["missing"]

    def test_two_files_give_rates_and_quantiles(self) -> None:
        report = as_json(EARLIER, LATER, "--interval", "15")
        assert report["pages"] == 2
        assert report["seconds"] == 15.0
        assert report["signals"]["arrival_rate"]["value"] == pytest.approx(24.07, abs=0.01)
        assert report["signals"]["ttft"]["value"] == report["signals"]["ttft_p95"]["value"]
        assert "totals" not in report

    def test_two_files_of_unknown_distance_give_quantiles_but_no_rates(self) -> None:
        report = as_json(EARLIER, LATER)
        assert report["seconds"] is None
        assert "ttft_p95" in report["signals"]
        assert "prefix_hit_rate" in report["signals"]
        assert "time between the two pages" in report["missing"]["finished_rate"]
        assert "--interval" in run(EARLIER, LATER).stdout

    def test_times_on_the_pages_say_how_far_apart_they_are(self, tmp_path: Path) -> None:
        for name, tokens, at in (("a", 100, 1_700_000_000_000), ("b", 300, 1_700_000_004_000)):
            (tmp_path / name).write_text(f"vllm:generation_tokens_total {tokens} {at}\n")
        report = as_json(str(tmp_path / "a"), str(tmp_path / "b"))
        assert report["signals"]["generation_tokens_rate"]["value"] == 50.0

    def test_standard_input_is_a_page_too(self) -> None:
        assert as_json("-", stdin=vllm(5).encode())["signals"]["in_flight"]["value"] == 4.0
        report = as_json("-", LATER, "--interval", "15", stdin=Path(EARLIER).read_bytes())
        assert report["signals"]["finished_rate"]["value"] == pytest.approx(12.333, abs=0.001)

    @pytest.mark.parametrize("name", sorted(json.loads((PAGES / "expected.json").read_text())))
    def test_every_page_gives_its_expected_values(self, name: str) -> None:
        expected = json.loads((PAGES / "expected.json").read_text())[name]
        report = as_json(str(PAGES / name))
        assert report["engine"] == expected.pop("engine")
        for signal, value in expected.items():
            assert report["signals"][signal]["value"] == pytest.approx(value, rel=1e-3, abs=1e-9)

    def test_the_table_has_what_a_person_asks_for(self) -> None:
        lines = run(EARLIER, LATER, "--interval", "15").stdout.splitlines()
        assert lines[0].startswith("ENGINE vllm   VERSION not on the page")
        assert lines[1] == "two pages, 15 s apart"
        rows = {line.split()[0]: line for line in lines if line and not line.startswith(" ")}
        assert rows["SIGNAL"].split() == ["SIGNAL", "VALUE", "UNIT", "HOW", "FROM"]
        assert rows["in_flight"].split()[1:3] == ["186", "requests"]
        assert "p50 2.316, p95 6.339, p99 7.268, mean 2.39" in rows["ttft"]
        assert "ttft_p50" not in rows
        assert "sum of 5 rows" in rows["finished_rate"]
        assert any(line.startswith("  batch_limit: no metric; read max_num_seqs") for line in lines)

    def test_a_signal_whose_name_ends_like_a_part_has_a_line_of_its_own(self, tmp_path: Path) -> None:
        lines = run(str(PAGES / "gaie-epp-1.x.txt")).stdout.splitlines()
        assert any(line.startswith("waiting_mean  ") for line in lines)
        assert "arrival_rate" not in run(str(PAGES / "dcgm-exporter-4.5.txt")).stdout

    def test_the_table_of_one_page_says_that_rates_need_two(self) -> None:
        output = run(str(PAGES / "tgi-3.3.txt")).stdout
        assert "one page: values as they stand, and totals" in output
        assert "TOTAL OF" in output

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"", "the page is empty"),
            (b"vllm:num_requests_running 12", "line 1, its last, does not end with a newline"),
            (b"\x1f\x8b\x08\x00", "gzip"),
            (b"\x00\x01\x02", "NUL"),
            (b"<html></html>\n", "HTML"),
            (
                b"go_goroutines 5\nnginx_up 1\n",
                "no engine of the catalogue is recognized; the names on it begin with go_, nginx_",
            ),
            (b"hello world\n", "there is no sample on it"),
            (b"\xff\xfe\xfd\n", "there is no sample on it"),
        ],
    )
    def test_what_is_no_page_of_a_known_engine_is_said_in_a_sentence(
        self, body: bytes, said: str, tmp_path: Path
    ) -> None:
        page = tmp_path / "page.txt"
        page.write_bytes(body)
        result = run(str(page))
        assert result.exit_code == 1
        assert result.stdout == ""
        assert said in result.stderr
        assert str(page) in result.stderr
        in_json = run(str(page), "-o", "json")
        assert in_json.exit_code == 1
        assert json.loads(in_json.stdout)["engine"] is None
        assert said in json.loads(in_json.stdout)["error"]

    def test_an_engine_can_be_named(self) -> None:
        assert as_json(str(PAGES / "llamacpp.txt"), "--engine", "tgi")["engine"] == "tgi"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("nowhere.txt",), "cannot read nowhere.txt: No such file"),
            ((str(PAGES),), "Is a directory"),
            (("-", "-"), "standard input holds one page"),
            ((LATER, "--engine", "vlm"), "'vlm' is not in the catalogue; it has vllm"),
            ((LATER, "-o", "xml"), "xml"),
            ((LATER, "--interval", "-1"), "-1"),
            ((LATER, "--interval", "nan"), "nan is not a finite number"),
            ((LATER, "--interval", "inf"), "inf is not a finite number"),
            (("http://localhost:1/x", "--timeout", "nan"), "nan is not a finite number"),
            (("http://localhost:1/x", "--timeout", "1e999"), "inf is not a finite number"),
            (("ftp://host/x",), "begins with http:// or https://, not 'ftp'"),
            (("http://host:99999/x",), "not a URL"),
            (("http://localhost:1/x", LATER), "read twice by itself"),
            (("https://localhost:1/x", "--ca-file", LATER), "holds no PEM certificates"),
            (("http://localhost:1/x", "--ca-file", LATER), "--ca-file: for https, and the URL is not"),
            (("localhost:1", "--server-name", "x"), "--server-name: for https"),
            (("https://localhost:1", "--ca-file", LATER, "--insecure-skip-tls-verify"), "leave one of them out"),
            (
                ("http://me:s3cret@localhost:1/x",),
                "carries credentials; put a token into a file and name it in --bearer",
            ),
            (("http://localhost:1/x", "--bearer-token-file", LATER), "printable ASCII"),
            ((), "Missing argument"),
        ],
    )
    def test_what_cannot_be_run_exits_with_2(self, arguments: tuple[str, ...], said: str) -> None:
        result = run(*arguments)
        assert result.exit_code == 2
        assert said in result.stderr

    def test_the_help_has_an_example(self) -> None:
        output = run("--help").output
        assert "  inflight inspect http://10.0.3.7:8000/metrics\n" in output


OSC = "\x1b]0;owned\x07"
"""What sets the title of a terminal."""


class TestForeignText:
    def test_a_version_is_shown_escaped(self, tmp_path: Path) -> None:
        page = tmp_path / "page.txt"
        picker = (PAGES / "gaie-epp-1.x.txt").read_text()
        page.write_text(f'{picker}inference_extension_info{{build_ref="{OSC}\u202e\x9b2J"}} 1\n')
        assert "VERSION \\x1b]0;owned\\x07\\u202e\\x9b2J" in run(str(page)).stdout
        for arguments in ((str(page),), (str(page), "-o", "json")):
            assert_harmless(run(*arguments))

    def test_the_name_of_a_file_is_shown_escaped(self, tmp_path: Path) -> None:
        good, bad, absent = (tmp_path / f"{OSC}{name}" for name in ("good", "bad", "absent"))
        good.write_text(vllm(1))
        bad.write_text("hello\n")
        for path in (good, bad, absent):
            result = run(str(path))
            assert_harmless(result)
            assert "owned" in result.output

    async def test_nothing_that_a_server_says_steers_the_terminal(self) -> None:
        head = f"Location: http://x/{OSC}\r\nX-Other: {OSC}\r\nContent-Length: 0\r\n\r\n"
        answers = [f"HTTP/1.1 302 {OSC}\r\n{head}", f"HTTP/1.1 500 {OSC}\r\n{head}", f"{OSC}\r\n\r\n"]
        left = list(answers)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(left.pop(0).encode())
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            for _ in answers:
                result = await run_beside(f"http://127.0.0.1:{port}/metrics")
                assert result.exit_code == 1
                assert_harmless(result)
        assert left == []


def assert_harmless(result: Result) -> None:
    assert result.output
    assert all(line.isprintable() for line in result.output.split("\n")), ascii(result.output)


class TestLikeServe:
    """A person must see what the collector sees."""

    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (b"x" * (MAX_PAGE_BYTES + 1), {}),
            (vllm(1).encode(), {"Content-Encoding": "gzip"}),
            (vllm(1).encode(), {"Content-Type": "application/openmetrics-text; version=1.0.0"}),
            (vllm(1)[:-9].encode(), {}),
            (b"<html></html>\n", {}),
        ],
        ids=["too large", "compressed", "OpenMetrics without end", "cut off", "HTML"],
    )
    async def test_both_refuse_a_page_with_the_same_words(self, body: bytes, headers: dict[str, str]) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=body, headers=headers)

        async with serving(answer) as address:
            url = f"http://{address}/metrics"
            why = await collected(url)
            result = await run_beside(url)
        assert result.exit_code == 1
        assert result.stderr == f"{url}: {why}\n"

    async def test_both_go_by_what_the_server_calls_its_page(self) -> None:
        """Text that would look like OpenMetrics without its end, if the server did not say that it is none."""
        body = "# UNIT vllm:num_requests_running requests\n" + vllm(1)

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(text=body, content_type="text/plain")

        async with serving(answer) as address:
            url = f"http://{address}/metrics"
            assert await collected(url) == ""
            result = await run_beside(url, "--interval", "0")
        assert result.exit_code == 0, result.output

    def test_a_file_may_be_no_larger_than_the_page_of_a_server(self, tmp_path: Path) -> None:
        page = tmp_path / "page.txt"
        page.write_bytes(b"#" * MAX_PAGE_BYTES + b"\n")
        result = run(str(page))
        assert result.exit_code == 1
        assert f"has more than {MAX_PAGE_BYTES} bytes" in result.stderr

    async def test_an_engine_that_is_named_is_looked_for_at_its_own_path(self) -> None:
        asked: list[str] = []

        async def answer(request: web.Request) -> web.StreamResponse:
            asked.append(request.path)
            return web.Response(text="trtllm_num_requests_running 3\n")

        async with serving(answer) as address:
            result = await run_beside(address, "--engine", "trtllm_serve", "--interval", "0")
        assert result.exit_code == 0, result.output
        assert asked == ["/prometheus/metrics"]

    def test_a_page_gets_as_much_time(self) -> None:
        (default,) = [option.default for option in command.params if option.name == "timeout"]
        assert default == DEADLINE_SECONDS


async def collected(url: str) -> str:
    """Why a collector refuses the page; empty where it takes it."""
    collector = Collector(shipped(), WallClock(), 0.05)
    collector.set_targets([Target("default", "pod", {}, url)])
    running = asyncio.create_task(collector.run())
    try:
        async with asyncio.timeout(20):
            while not collector.stats.scrapes:  # noqa: ASYNC110 - a scrape sets no event
                await asyncio.sleep(0.01)
        return collector.pods()[0].failing
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class TestServers:
    async def test_a_url_is_read_twice(self) -> None:
        async with serving(pages(vllm(1000), vllm(1100))) as address:
            result = await run_beside(f"http://{address}/metrics", "--interval", "0.2", "-o", "json")
        report = json.loads(result.stdout)
        assert result.exit_code == 0
        assert report["pages"] == 2
        assert report["seconds"] >= 0.2
        assert report["signals"]["generation_tokens_rate"]["value"] == pytest.approx(100 / report["seconds"])

    async def test_an_interval_of_zero_reads_it_once(self) -> None:
        async with serving(pages(vllm(1000))) as address:
            result = await run_beside(address, "--interval", "0", "-o", "json")
        assert json.loads(result.stdout)["pages"] == 1

    async def test_an_address_alone_tries_the_paths_of_the_engines(self) -> None:
        body = "trtllm_num_requests_running 3\ntrtllm_num_requests_waiting 1\n"

        async def answer(request: web.Request) -> web.Response:
            if request.path == "/prometheus/metrics":
                return web.Response(text=body)
            return web.json_response([{"iter": 1}])

        async with serving(answer) as address:
            for given in (address, f"http://{address}", f"http://{address}/"):
                result = await run_beside(given, "--interval", "0.01", "-o", "json")
                report = json.loads(result.stdout)
                assert report["engine"] == "trtllm_serve"
                assert report["source"] == f"http://{address}/prometheus/metrics"

    async def test_a_page_of_no_known_engine_is_passed_over_for_one_that_is_known(self) -> None:
        asked: list[str] = []

        async def answer(request: web.Request) -> web.Response:
            asked.append(request.path)
            known = request.path == "/prometheus/metrics" and len(asked) < 4
            return web.Response(text="trtllm_num_requests_running 3\n" if known else "envoy_server_live 1\n")

        async with serving(answer) as address:
            result = await run_beside(address, "--interval", "0", "-o", "json")
            assert json.loads(result.stdout)["source"] == f"http://{address}/prometheus/metrics"
            asked += [""] * 4
            nowhere = await run_beside(address, "--interval", "0")
        assert nowhere.exit_code == 1
        assert f"http://{address}/metrics: no engine of the catalogue is recognized" in nowhere.stderr
        assert "envoy" in nowhere.stderr

    async def test_an_address_without_any_page_says_so(self) -> None:
        async with serving(pages(vllm(1)), path="/elsewhere") as address:
            result = await run_beside(address)
        assert result.exit_code == 1
        assert "/metrics: HTTP 404: no page there" in result.stderr

    async def test_a_redirect_is_not_followed(self) -> None:
        async def answer(_: web.Request) -> web.Response:
            raise web.HTTPFound("http://elsewhere.example/metrics")

        async with serving(answer) as address:
            result = await run_beside(f"http://{address}/metrics")
        assert result.exit_code == 1
        assert "HTTP 302: redirects are not followed; give the final URL" in result.stderr

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            (401, "--bearer-token-file"),
            (403, "or for another one; see --bearer-token-file"),
            (404, "/metrics"),
            (503, "503"),
        ],
    )
    async def test_another_status_is_said(self, status: int, said: str) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=status)

        async with serving(answer) as address:
            result = await run_beside(f"http://{address}/metrics")
        assert result.exit_code == 1
        assert f"HTTP {status}" in result.stderr
        assert said in result.stderr

    async def test_nobody_there(self, unused_tcp_port: int) -> None:
        result = await run_beside(f"localhost:{unused_tcp_port}")
        assert result.exit_code == 1
        assert "connection refused" in result.stderr

    async def test_a_server_that_does_not_answer_in_time(self) -> None:
        async def answer(_: web.Request) -> web.Response:
            await asyncio.sleep(5)
            return web.Response(text=vllm(1))

        async with serving(answer) as address:
            result = await run_beside(address, "--timeout", "0.1")
        assert result.exit_code == 1
        assert "no page within 0.1 s; --timeout" in result.stderr

    async def test_a_page_without_end_is_not_read_to_its_end(self) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b"vllm:num_requests_running 1\n" * 10_000)
            except ConnectionError:
                return response

        async with serving(answer) as address:
            result = await run_beside(f"http://{address}/metrics")
        assert result.exit_code == 1
        assert f"more than {MAX_PAGE_BYTES} bytes" in result.stderr

    async def test_an_answer_cut_off_on_the_way(self) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(vllm(1).encode())
            assert request.transport is not None
            request.transport.close()
            return response

        async with serving(answer) as address:
            result = await run_beside(f"http://{address}/metrics")
        assert result.exit_code == 1
        assert "closed in the middle of the page" in result.stderr

    async def test_an_open_metrics_answer_without_its_end_mark_was_cut_off(self) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=vllm(1).encode(), content_type="application/openmetrics-text")

        async with serving(answer) as address:
            result = await run_beside(f"http://{address}/metrics")
        assert result.exit_code == 1
        assert "does not end with # EOF" in result.stderr

    async def test_a_server_that_dies_between_the_readings(self) -> None:
        answers = iter([200, 503])

        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=next(answers), text=vllm(1))

        async with serving(answer) as address:
            result = await run_beside(f"http://{address}/metrics", "--interval", "0.01")
        assert result.exit_code == 1
        assert "HTTP 503" in result.stderr

    async def test_tls_and_a_token(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        (tmp_path / "token").write_text("s3cret\n")

        async def answer(request: web.Request) -> web.Response:
            allowed = request.headers.get("Authorization") == "Bearer s3cret"
            return web.Response(text=vllm(1)) if allowed else web.Response(status=401)

        token = ("--bearer-token-file", str(tmp_path / "token"), "--interval", "0")
        async with serving(answer, tls=context) as address:
            url = f"https://{address}/metrics"
            trusted = await run_beside(url, "--ca-file", str(tmp_path / "ca.pem"), *token)
            unchecked = await run_beside(url, "--insecure-skip-tls-verify", *token)
            untrusted = await run_beside(url, *token)
            anonymous = await run_beside(url, "--ca-file", str(tmp_path / "ca.pem"))
        assert trusted.exit_code == unchecked.exit_code == 0
        assert untrusted.exit_code == anonymous.exit_code == 1
        assert "certificate is not accepted" in untrusted.stderr
        assert "--ca-file" in untrusted.stderr
        assert "HTTP 401" in anonymous.stderr
        assert all("s3cret" not in result.output for result in (trusted, unchecked, untrusted, anonymous))
