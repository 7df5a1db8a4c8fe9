"""What an operator may set, checked before anything starts.

`model` says which keys there are, `source` reads file and environment, `load` joins them with the flags and
says which one won. No other module reads a setting from a file or the environment.
"""

from .load import Loaded, load, overlooked
from .model import (
    Backoff,
    Drain,
    JobLimits,
    Kinds,
    Leases,
    Logging,
    ManagerConfig,
    ManagerLimits,
    Reconnect,
    Retention,
    Security,
    Spool,
    Store,
    Tasks,
    Transport,
    WorkerConfig,
)

__all__ = [
    "Backoff",
    "Drain",
    "JobLimits",
    "Kinds",
    "Leases",
    "Loaded",
    "Logging",
    "ManagerConfig",
    "ManagerLimits",
    "Reconnect",
    "Retention",
    "Security",
    "Spool",
    "Store",
    "Tasks",
    "Transport",
    "WorkerConfig",
    "load",
    "overlooked",
]
