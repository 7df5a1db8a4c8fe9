"""Is asked to stop, says so, and goes on until a file is there."""

import asyncio
from pathlib import Path


async def handle(payload, ctx):
    ctx.progress(0.1, "begun")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ctx.progress(0.2, "asked")
        while not Path(payload).exists():
            try:
                await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                continue
    return "at last"
