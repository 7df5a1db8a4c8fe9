"""Gives its payload back."""


def handle(payload):
    return payload
