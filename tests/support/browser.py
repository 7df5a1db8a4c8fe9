"""A browser without a window, driven through its debugging socket: goes to a page, types, listens."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from anyio.abc import Process

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
START_SECONDS = 40.0


def found() -> str | None:
    """The program, if there is one."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self.frames: list[bytes] = []
        """What came over the page's own web sockets, one after the other."""
        self._answers: dict[int, Any] = {}

    async def ask(self, method: str, **params: Any) -> Any:
        """One command of the DevTools protocol."""
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while number not in self._answers:
            self._take(await self._socket.receive_json())
        answer = self._answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    async def go(self, address: str) -> None:
        """Open a page."""
        for domain in ("Page", "Network", "Runtime"):
            await self.ask(f"{domain}.enable")
        await self.ask("Page.navigate", url=address)

    async def press(self, key: str) -> None:
        """One digit, as from a keyboard."""
        code = {"windowsVirtualKeyCode": ord(key), "code": f"Digit{key}", "key": key}
        await self.value("document.querySelector('textarea').focus()")
        await self.ask("Input.dispatchKeyEvent", type="keyDown", text=key, **code)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", **code)

    async def until(self, words: str, seconds: float) -> None:
        """Wait until the page has been sent these words."""
        with anyio.fail_after(seconds):
            while words.encode() not in b"".join(self.frames):
                self._take(await self._socket.receive_json())

    async def value(self, script: str) -> Any:
        """What a piece of JavaScript in the page gives."""
        return (await self.ask("Runtime.evaluate", expression=script))["result"].get("value")

    async def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode((await self.ask("Page.captureScreenshot", format="png"))["data"])

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
        elif message["method"] == "Network.webSocketFrameReceived":
            data = message["params"]["response"]
            binary = data["opcode"] == 2
            self.frames.append(
                base64.b64decode(data["payloadData"]) if binary else data["payloadData"].encode()
            )


@asynccontextmanager
async def browser(program: str, home: Path) -> AsyncIterator[Browser]:
    """A browser with a home of its own, gone at the end."""
    command = [
        program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--proxy-server=direct://",
        "--window-size=1000,640", f"--user-data-dir={home}", "--remote-debugging-port=0", "about:blank",
    ]  # fmt: skip
    environ = {**os.environ, "HOME": str(home)}
    process: Process = await anyio.open_process(
        command, env=environ, stdout=-3, stderr=-3, start_new_session=True
    )
    try:
        port = await _port(home / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                pages = json.loads(await answer.text())
            page = next(one for one in pages if one["type"] == "page")
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=64 << 20) as socket:
                yield Browser(socket)
    finally:
        with anyio.CancelScope(shield=True):
            process.terminate()
            await process.wait()


async def _port(file: Path) -> int:
    with anyio.fail_after(START_SECONDS):
        while not (file.is_file() and file.read_text().strip()):
            await anyio.sleep(0.05)
    return int(file.read_text().split()[0])
