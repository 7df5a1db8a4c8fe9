"""What a worker cannot be asked, whatever is behind its handle: only its manager knows of these things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ..core.errors import UsageError
from .live import KindSchema, WorkerPast
from .values import Count, Group, InviteRow, Outcome, PendingRow, TaskDetail, TaskPage, TaskQuery


class WorkerOnly:
    """The part of a `NodeHandle` that every worker refuses."""

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """Not here."""
        not_here()

    async def count(self, query: TaskQuery, most: int = 1_000_000) -> Count:
        """Not here."""
        not_here()

    async def task(self, task_id: int, payload_limit: int = 65_536) -> TaskDetail:
        """Not here."""
        not_here()

    async def outcomes(self, ids: Sequence[int]) -> list[Outcome]:
        """Not here."""
        not_here()

    async def submit(self, groups: Sequence[Group]) -> list[int]:
        """Not here."""
        not_here()

    async def kind_schemas(self) -> tuple[KindSchema, ...]:
        """Not here."""
        not_here()

    async def invites(self) -> list[InviteRow]:
        """Not here."""
        not_here()

    async def make_invite(
        self, uses: int, ttl: float, role: str, approve: bool = False, ephemeral: bool = False
    ) -> tuple[str, InviteRow]:
        """Not here."""
        not_here()

    async def revoke_invite(self, invite_id: str) -> None:
        """Not here."""
        not_here()

    async def worker_past(self, worker_id: str) -> WorkerPast:
        """Not here."""
        not_here()

    async def pending(self) -> list[PendingRow]:
        """Not here."""
        not_here()


def not_here() -> NoReturn:
    """Refuse it.

    Raises:
        UsageError: always.
    """
    raise UsageError("this is a worker: its manager knows of tasks, kinds and invites")
