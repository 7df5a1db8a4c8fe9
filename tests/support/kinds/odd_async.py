"""Returns what msgpack cannot hold."""


async def handle(payload):
    return {"set": {"deep": [{1, 2}]}, "int": 2**70, "nested": _nested(), "object": object()}[payload]


def _nested():
    value = []
    for _ in range(100):
        value = [value]
    return value
