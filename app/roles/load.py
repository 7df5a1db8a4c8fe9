"""What this machine is doing, in three numbers a second."""

from __future__ import annotations


class Load:
    """Samples the machine; cheap enough for once a second."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        psutil.cpu_percent(None)

    def sample(self) -> dict[str, float]:
        """Cpu (share of all processors since the last call), memory (share in use), rss (our bytes)."""
        return {
            "cpu": self._psutil.cpu_percent(None) / 100,
            "memory": self._psutil.virtual_memory().percent / 100,
            "rss": float(self._process.memory_info().rss),
        }
