"""Fails, a few calls deep."""

EXCEPTIONS = {"ValueError": ValueError, "SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt}


def _deeper(name):
    raise EXCEPTIONS[name]("what it says")


async def handle(payload):
    _deeper(payload)
