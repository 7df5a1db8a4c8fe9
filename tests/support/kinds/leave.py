"""Leaves without a word."""

import os

RUNTIME = "process"


def handle(payload):
    os._exit(payload)
