"""Closes everything it can, or writes rubbish there, and goes on for ever."""

import os
import stat
import time

RUNTIME = "process"


def handle(payload):
    for descriptor in range(3, 4096):
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            if payload == "close":
                os.close(descriptor)
            else:
                os.write(descriptor, payload)
        except OSError:
            continue
    while True:
        time.sleep(60)
