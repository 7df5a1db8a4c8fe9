"""Keeps what a front end sees of a node in a file, and gives it back as a node that stands still.

`file` is the format, `keep` fills one while a node runs, `node` is a `NodeHandle` over one that was filled.
"""

from .file import Moment, Recording, Writer
from .keep import recording
from .node import ReplayNode

__all__ = ["Moment", "Recording", "ReplayNode", "Writer", "recording"]
