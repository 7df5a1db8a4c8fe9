"""The pool: which tasks there are, who runs them, and what happens next. Stimuli in, decisions out."""

from .check import check
from .machine import Pool
from .state import Task, Worker

__all__ = ["Pool", "Task", "Worker", "check"]
