"""Takes that many bytes of memory."""

RUNTIME = "process"


def handle(payload):
    return len(bytearray(payload))
