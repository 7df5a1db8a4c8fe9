"""The pool: which tasks there are, who runs them, and what happens next. Stimuli in, decisions out."""

from .backlog import Depth
from .check import check
from .machine import Pool
from .overdue import Patience
from .state import Task, Worker

__all__ = ["Depth", "Patience", "Pool", "Task", "Worker", "check"]
