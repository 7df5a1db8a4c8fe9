"""Failures that another attempt cannot cure: what task code raises to say so, and their words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PERMANENT: Final = "permanent"
"""Code of a failure that its kind calls final."""

FOR_GOOD: Final[Mapping[str, str]] = {
    "bad_payload": "its payload cannot be read",
    "bad_result": "its result cannot be sent",
    PERMANENT: "its kind says that another attempt cannot help",
}
"""Codes of errors that end a task at once, and why it is not tried again."""


class Permanent(Exception):
    """For task code to raise: this task has failed, and trying it again would fail in the same way."""


def not_tried_again(code: str) -> str:
    """Why a task that failed with this code was not given another attempt; empty where it was used up."""
    return FOR_GOOD.get(code, "")
