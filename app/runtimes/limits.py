"""What one child process may use, and how the kernel is told: by the child, before it loads task code."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from math import ceil


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None anywhere means: no limit of ours. What a worker takes when nothing is set is in its settings."""

    memory: int | None = None
    """Bytes of address space. What a library reserves and does not use counts too."""
    cpu_seconds: int | None = None
    """CPU time of one attempt."""
    open_files: int | None = None
    processes: int | None = None
    """Processes and threads of this user, all together; the kernel does not hold root to it."""
    file_bytes: int | None = None
    """Largest file it may write."""
    niceness: int = 0
    """How much the child steps back for others, so that heartbeats keep their time."""
    import_seconds: float | None = None
    """How long a kind may take to be loaded, which no attempt is charged for."""

    def to_json(self) -> str:
        """As text for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Limits:
        """From `to_json`."""
        return replace(cls(), **json.loads(text))

    def apply(self) -> None:
        """Bind this process. What the system does not know or does not allow is left as it is."""
        import resource  # absent on Windows

        wanted = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NOFILE: self.open_files,
            resource.RLIMIT_NPROC: self.processes,
            resource.RLIMIT_FSIZE: self.file_bytes,
        }
        if sys.platform.startswith("linux"):
            wanted[resource.RLIMIT_AS] = self.memory  # macOS has the name and refuses the value
        for which, value in wanted.items():
            if value is not None:
                _lower(which, value)
        if self.niceness:
            try:
                os.nice(self.niceness)
            except OSError:
                return

    def renew_cpu(self) -> None:
        """Count CPU time from now on: a warm process runs many attempts, and the limit is for one."""
        if self.cpu_seconds is None:
            return
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = ceil(used.ru_utime + used.ru_stime) + self.cpu_seconds
        resource.setrlimit(
            resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
        )


def _lower(which: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(which, (value, value))
    except (OSError, ValueError):
        return
