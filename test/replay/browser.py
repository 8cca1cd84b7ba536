"""Chromium without a window, driven through its own WebDriver."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1180,1700",
]
DARK = "--blink-settings=preferredColorScheme=0"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# Straight to the driver on this machine, whatever proxy the environment names.
OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Browser:
    """One open browser."""

    def __init__(self, port: int, profile: Path, *, dark: bool) -> None:
        self._root = f"http://127.0.0.1:{port}"
        arguments = [*FLAGS, f"--user-data-dir={profile}", *([DARK] if dark else [])]
        options = {"binary": CHROMIUM, "args": arguments}
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        session = self._call("/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        self._root += f"/session/{session}"

    def open(self, page: Path) -> None:
        self._call("/url", {"url": page.as_uri()})

    def run(self, script: str) -> Any:
        return self._call("/execute/sync", {"script": script, "args": []})

    def console(self) -> list[str]:
        """Everything that the page, or the browser about it, wrote to the console since the last call."""
        return [entry["message"] for entry in self._call("/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last call, without data: URLs and the browser's own pages."""
        messages = [json.loads(entry["message"])["message"] for entry in self._call("/se/log", {"type": "performance"})]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("data:", "chrome:"))]

    def hover(self, x: float, y: float) -> None:
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        self._call("/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [move]}]})

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._call("/screenshot")))

    def _call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._root + path, data, {"Content-Type": "application/json"})
        with OPEN(request, timeout=120) as response:
            return json.load(response)["value"]


@contextmanager
def browser(profile: Path, *, dark: bool = False) -> Iterator[Browser]:
    """A browser with a new profile in the folder `profile`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert DRIVER is not None
    driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                OPEN(f"http://127.0.0.1:{port}/status", timeout=60).close()
                break
            except URLError:
                assert driver.poll() is None
                time.sleep(0.1)
        opened = Browser(port, profile, dark=dark)
        yield opened
        OPEN(urllib.request.Request(opened._root, method="DELETE"), timeout=60).close()
    finally:
        driver.terminate()
        driver.wait(30)
