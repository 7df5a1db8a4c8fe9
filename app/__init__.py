"""Task Messenger: one fleet from machines anywhere, joined with one pasted string."""

from ._version import __version__

__all__ = ["__version__"]
