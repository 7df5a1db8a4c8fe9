"""Swallows its cancellation: returns then, goes on for ever, or until a file appears."""

import asyncio
from pathlib import Path


async def handle(payload, ctx):
    ctx.progress(0.5, "begun")
    while True:
        try:
            await asyncio.sleep(0.01)
        except BaseException:
            if payload == "return":
                return "done all the same"
        if payload != "return" and Path(payload).exists():
            return "at last"
