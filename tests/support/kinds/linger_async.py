"""Never ends by itself; says when it has begun."""

import asyncio


async def handle(payload, ctx):
    ctx.progress(0.0, "begun")
    await asyncio.Event().wait()
