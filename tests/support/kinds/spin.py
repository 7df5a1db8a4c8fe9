"""Uses all the CPU time it can get, for ever; comes back at once when told `no`."""

RUNTIME = "process"


def handle(payload):
    while payload != "no":
        pass
    return payload
