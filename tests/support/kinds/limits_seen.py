"""Says which limits it lives under; the one of core files is set for all, so it is left out."""

import resource

RUNTIME = "process"


def handle(payload):
    return [list(resource.getrlimit(which)) for which in range(10) if which != resource.RLIMIT_CORE]
