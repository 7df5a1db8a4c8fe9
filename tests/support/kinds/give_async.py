"""Gives its payload back, without a thread."""


async def handle(payload):
    return payload
