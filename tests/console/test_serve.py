"""The console in a browser: for this machine and whoever has the printed address, for nobody else."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from taskmessenger.cli.serve import serve
from taskmessenger.core.errors import Conflict, UsageError

from tests.support import browser

START_SECONDS = 30.0
PAINT_SECONDS = 60.0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org", ""])
def test_an_address_that_others_reach_is_refused(host: str) -> None:
    result = CliRunner().invoke(serve, ["--host", host, "--demo"])
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2
    assert "this machine alone" in str(result.exception)


def test_a_port_that_is_taken_is_named() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(serve, ["--port", str(port), "--demo"])
    assert isinstance(result.exception, Conflict)
    assert str(port) in str(result.exception)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "taskmessenger.cli.serve_guard", None)
    result = CliRunner().invoke(serve, ["--demo", "--port", "0"])
    assert isinstance(result.exception, UsageError | ModuleNotFoundError)
    assert "pip install '.[web]'" in str(result.exception)


@asynccontextmanager
async def served(home: Path) -> AsyncIterator[str]:
    """The address that a real `serve --demo` prints."""
    pytest.importorskip("textual_serve", reason="the extra `web` is not installed")
    command = [sys.executable, "-m", "taskmessenger", "serve", "--demo", "--port", "0"]
    async with await anyio.open_process(command, env={"TASKMESSENGER_HOME": str(home)}, stderr=-3) as process:
        assert process.stdout is not None
        try:
            with anyio.fail_after(START_SECONDS):
                text = b""
                while b"\n" not in text:
                    text += await process.stdout.receive()
            yield text.decode().strip()
        finally:
            process.terminate()


async def test_only_who_has_the_whole_address_gets_in(tmp_path: Path) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    async with served(tmp_path) as address:
        bare = address.partition("?")[0]
        cookies = aiohttp.CookieJar(unsafe=True)  # for a host that is a number
        async with aiohttp.ClientSession(cookie_jar=cookies) as session:

            async def status(url: str, **headers: str) -> int:
                async with session.get(url, headers=headers) as answer:
                    return int(answer.status)

            assert await status(bare) == 403
            assert await status(f"{bare}?token=x") == 403
            assert await status(f"{bare}ws") == 403
            assert await status(f"{bare}static/js/textual.js") == 403
            assert await status(address, Origin="http://evil.example") == 403
            assert await status(address, Host="evil.example") == 403
            assert await status(address) == 200
            assert await status(bare) == 200
            assert await status(bare, Origin="http://evil.example") == 403
            async with session.get(bare) as answer:
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
                assert re.search(r"ws://127\.0\.0\.1:\d+/ws", await answer.text())


@pytest.mark.slow
@pytest.mark.skipif(browser.found() is None, reason="no Chromium is installed")
async def test_a_browser_shows_the_console_and_takes_keys(tmp_path: Path) -> None:
    program = browser.found()
    assert program is not None
    async with served(tmp_path / "home") as address, browser.browser(program, tmp_path / "chromium") as page:
        await page.go(address)
        await page.until("Overview", PAINT_SECONDS)
        await page.press("7")
        await page.until("may still join", PAINT_SECONDS)
        assert "token" not in await page.value("location.href")
        assert (await page.picture()).startswith(b"\x89PNG")
