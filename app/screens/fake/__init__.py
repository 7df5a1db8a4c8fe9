"""A simulated node: seeded, on a clock of its own, with as many tasks as one likes.

None of them is in memory: a row is worked out when it is looked at. For `--demo`, for pictures, and for
tests of whatever is drawn over a `NodeHandle`.
"""

from .node import FakeNode
from .stream import DEMO
from .worker import FakeWorker

__all__ = ["DEMO", "FakeNode", "FakeWorker"]
