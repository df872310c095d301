"""Headless Chromium for tests, driven by plain WebDriver requests (https://www.w3.org/TR/webdriver2/)."""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_sweep import wait_until

from launcher.executors.ray_head import free_port

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1400,900",
)  # fmt: skip
ENTER = "\ue007"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key that the standard gives references to elements."""


class Browser:
    """One window."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def text(self) -> str:
        """What the page shows."""
        return str(self.run("return document.body.innerText"))

    def run(self, script: str) -> Any:
        """What a script in the page returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def wait_for(self, words: str) -> None:
        """Until the page shows some words."""
        wait_until(lambda: words in self.text())

    def wait_until(self, condition: str) -> None:
        """Until a condition holds in the page."""
        wait_until(lambda: bool(self.run(f"return {condition}")))

    def resize(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def type(self, selector: str, keys: str) -> None:
        self._call("POST", f"/element/{self._find(selector)}/value", {"text": keys})

    def screenshot(self) -> bytes:
        """A PNG."""
        return base64.b64decode(self._call("GET", "/screenshot"))

    def _find(self, selector: str) -> str:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile; the test is skipped, loudly, where there is none."""
    driver, binary = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or binary is None:
        pytest.skip(
            "Debian's chromium and chromium-driver are not installed; make test installs them as root"
        )
    port = free_port()
    process = subprocess.Popen(
        [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _answers(port))
        options = {"binary": binary, "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = f"/session/{_call(port, 'POST', '/session', wanted)['sessionId']}"
        try:
            yield Browser(lambda method, path, body=None: _call(port, method, f"{session}{path}", body))
        finally:
            _call(port, "DELETE", session)  # ends the browser, which outlives its driver
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        return bool(_call(port, "GET", "/status")["ready"])
    except urllib.error.URLError:
        return False


def _call(port: int, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=120) as answer:
        return json.load(answer)["value"]
