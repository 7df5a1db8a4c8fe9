"""What the core's host asks of a store. Adapters implement it; one contract suite proves them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .commit import Commit, OpenRow, Recovered
from .life import Life


class TaskStore(Protocol):
    """Durable home of the tasks. One instance, one writer."""

    async def open(self) -> Recovered:
        """Everything that is not finished.

        Raises:
            StoreLocked: another process has it. StoreTooNew: written by a newer version.
            StoreFailed: it cannot be read.
        """
        ...

    async def commit(self, batch: Commit) -> None:
        """Write all of `batch` or nothing, and return when it would survive a power cut.

        Calls may overlap; they are carried out in the order they were made.

        Raises:
            StoreBusy: too many files are open; likewise.
            StoreFull: no space; nothing of `batch` is stored, and the store stays usable.
            StoreFailed: the disk failed; the store refuses everything from now on.
        """
        ...

    async def find_keys(self, keys: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        """Of these idempotency keys, the known ones: task id and digest."""
        ...

    async def payloads(self, ids: Sequence[int], most: int | None = None) -> dict[int, bytes]:
        """The payloads of those that exist; with `most`, only those of up to so many bytes."""
        ...

    async def task_rows(self, ids: Sequence[int]) -> list[OpenRow]:
        """These tasks, of those that exist, with the state they are stored in."""
        ...

    async def prune(self, before: float, limit: int) -> int:
        """Forget up to `limit` tasks that ended before the wall-clock time `before`; says how many."""
        ...

    async def begin_epoch(self, why: str, heard: Sequence[bytes] = ()) -> tuple[Life, int]:
        """Have what was said of these tasks before belong to a former life; durable when it returns.

        `heard`: epochs that members know of and this store does not. Answers with the next free task id.
        """
        ...

    async def close(self) -> None:
        """Finish what was asked and let go of the files."""
        ...
