"""Blocks the event loop so many seconds: at once, or after it has waited."""

import asyncio
import time


async def handle(payload):
    seconds, waits = payload
    if waits:
        await asyncio.sleep(0)
    time.sleep(seconds)
