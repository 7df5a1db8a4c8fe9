"""The endings that all runtimes report in the same words."""

from __future__ import annotations

from ..handle import ErrorInfo
from .base import CANCELLED, FAILED, STUCK, SUCCEEDED, TIMED_OUT, Ended, Job
from .invoke import Failure

Evidence = dict[str, str | int | float]


def settled(answer: bytes | Failure, seconds: float) -> Ended:
    """The handler came back: with a result, or with why there is none."""
    if isinstance(answer, bytes):
        return Ended(SUCCEEDED, seconds, answer)
    return Ended(FAILED, seconds, None, ErrorInfo(answer.code, answer.message, answer.stack))


def cut_short(
    status: int, job: Job, limit: float | None, seconds: float, evidence: Evidence | None = None
) -> Ended:
    """It was ended from outside: `status` is TIMED_OUT or CANCELLED."""
    if status == TIMED_OUT:
        info = ErrorInfo(
            "timed_out", f"`{job.kind}` took longer than its limit of {limit:g} s", "", evidence or {}
        )
        return Ended(TIMED_OUT, seconds, None, info)
    return Ended(
        CANCELLED, seconds, None, ErrorInfo("cancelled", f"`{job.kind}` was cancelled", "", evidence or {})
    )


def stuck(status: int, job: Job, seconds: float, why: str, stack: str = "") -> Ended:
    """It was to end, as `status` says, and does not; `why` is the rest of the sentence."""
    asked = "its time limit" if status == TIMED_OUT else "it was cancelled"
    message = f"`{job.kind}` did not stop after {asked}: {why}"
    return Ended(STUCK, seconds, None, ErrorInfo("stuck", message, stack, {"asked": _WORDS[status]}))


def refused(code: str, message: str) -> Ended:
    """It was never started."""
    return Ended(FAILED, 0.0, None, ErrorInfo(code, message))


_WORDS = {TIMED_OUT: "timed_out", CANCELLED: "cancelled"}
