"""Pictures of the screens for the README: `python -m tests.console.pictures`, into docs/pictures.

From the same simulated fleet as the tests, with its clock standing still: the same files on every machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["TEXTUAL_ANIMATIONS"] = "none"  # before Textual is imported: it reads this once

import anyio
from taskmessenger.screens.fake import DEMO, FakeNode, FakeWorker

from tests.support.console import a_console, press, settle, type_text
from tests.support.pictures import after_a_while

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
SIZE = (120, 34)
Shot = tuple[str, tuple[str, ...], str, str]
"""Screen, keys, what it is about, what is typed in the end."""
SHOTS: dict[str, Shot] = {
    "overview": ("overview", (), "", ""),
    "sessions": ("sessions", ("down",), "", ""),
    "tasks": ("tasks", ("down", "space", "down", "space", "down"), "", ""),
    "filter": ("tasks", ("slash",), "", "state:failed run>1s\r"),
    "cancel": ("tasks", ("down", "space", "down", "space", "c"), "", ""),
    "task": ("task", (), "4993", ""),
    "workers": ("workers", ("down",), "", ""),
    "worker": ("worker", (), "w-fern-00", ""),
    "kinds": ("kinds", ("down",), "", ""),
    "events": ("events", ("down",), "", ""),
    "invites": ("invites", ("down",), "", ""),
    "network": ("network", (), "", ""),
    "settings": ("settings", ("down",), "", ""),
    "help": ("tasks", ("question_mark",), "", ""),
    "status": ("status", (), "", ""),
}
WORKERS = {"status"}
"""Those of a worker's console."""


async def take(name: str, shot: Shot) -> str:
    """One picture as SVG."""
    view, keys, argument, typed = shot
    console = a_console(FakeWorker(scene=DEMO) if name in WORKERS else FakeNode(scene=DEMO))
    async with console.run_test(size=SIZE) as pilot:
        found: Any = pilot
        await after_a_while(view, argument=argument)(found)
        await press(found, *keys)
        await type_text(found, typed)
        await settle(found)
        return console.export_screenshot(title=f"Task Messenger: {name}")


def main() -> None:
    """All of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, shot in SHOTS.items():
        (FOLDER / f"{name}.svg").write_text(anyio.run(take, name, shot), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
