"""Task Messenger: one fleet from machines anywhere, joined with one pasted string."""

from ._version import __version__
from .core.finality import Permanent

__all__ = ["Permanent", "__version__"]
