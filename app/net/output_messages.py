"""What is said of the output and progress of tasks. The rules of `messages` hold here too."""

from __future__ import annotations

from ..handle import TaskOutput
from .greeting import Base

Piece = tuple[int, int, int, bytes]
"""Task, attempt, start, data: a piece of what an attempt wrote, `start` bytes after its first one."""


class Progress(Base, frozen=True, tag=25):
    """How far a task is, and what it wrote since. Only for those who watch: it may be left out."""

    task: int
    attempt: int
    fraction: float | None = None
    note: str = ""
    output: bytes = b""
    start: int = 0
    """Bytes that it wrote before `output`."""


class Output(Base, frozen=True, tag=28):
    """The last part of what attempts wrote, to be kept; in a frame that comes before word of their end."""

    pieces: list[Piece]


class GetOutput(Base, frozen=True, tag=53):
    """What is kept of what an attempt of a task wrote."""

    request: int
    task: int
    attempt: int = 0
    """0 for the newest that wrote something."""


class OutputIs(Base, frozen=True, tag=75):
    """Answers `GetOutput`."""

    request: int
    output: TaskOutput
