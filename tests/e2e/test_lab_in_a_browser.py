"""The lab's page and report in a real browser: they draw, say what they should, fit a phone, and ask no other host."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no chromium on PATH", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="requirements/e2e.txt is not installed")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> "Iterator[sync_api.Browser]":
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Watched:
    """A page whose complaints and requests are remembered."""

    def __init__(self, browser: "sync_api.Browser", width: int) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def overflows(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def painted_plots(self) -> int:
        """Canvases on which a line has been drawn, not only made."""
        return int(
            self.page.evaluate(
                """[...document.querySelectorAll('.plot canvas')].filter((canvas) => {
                    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                    return data.some((value) => value !== 0);
                }).length"""
            )
        )


@pytest.mark.parametrize("width", [1280, 400])
def test_the_live_page_and_the_report(browser: "sync_api.Browser", tmp_path: Path, width: int) -> None:
    report = tmp_path / "report.html"
    command = [str(Path(sys.executable).with_name("inflight")), "lab", "--ramp", "3:200", "--speed", "12"]
    process = subprocess.Popen(
        [*command, "--report", str(report), "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        address = process.stderr.readline().removeprefix("live page: ").strip()
        watched = Watched(browser, width)
        page = watched.page
        page.goto(address)
        page.wait_for_selector("ol.decisions li:nth-child(2)", timeout=60_000)
        for name in ("cpu", "in-flight"):
            assert page.locator(f".card.{name} .pod.ready").count() >= 1
            assert "target" in page.locator(f".card.{name} ol.decisions li").first.inner_text()
        assert watched.painted_plots() == 6
        assert not watched.overflows()
        page.wait_for_selector("table tr.live.in-flight", timeout=120_000)
        assert "Within the SLO" in page.content()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert watched.complaints == []
        assert {url for url in watched.requests if not url.startswith((address, "data:"))} == set()
        shown = page.locator("table tr.live.cpu td").all_inner_texts()
        measured = json.loads(out)["policies"][0]
        assert shown[6] == str(f"{measured['longest_queue']:,}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    watched = Watched(browser, width)
    watched.page.goto(report.as_uri())
    watched.page.wait_for_selector(".plot canvas")
    assert watched.painted_plots() == 6
    assert watched.page.locator("#results-table tr.live").count() == 2
    assert not watched.overflows()
    assert watched.complaints == []
    assert [url for url in watched.requests if not url.startswith(("file:", "data:"))] == []


def test_the_report_reads_without_scripts(browser: "sync_api.Browser", tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    command = [str(Path(sys.executable).with_name("inflight")), "lab", "--ramp", "2:20", "--speed", "20", "--no-page"]
    subprocess.run([*command, "--report", str(report)], check=True, capture_output=True, timeout=120)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#results-table tr.live").count() == 2
    assert "The plots draw with scripts" in page.inner_text("body")
    context.close()
