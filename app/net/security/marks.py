"""What a member remembers of its manager's data: the mark of the last welcome, in a file beside its identity.

It is a secret like the others there only in its mode: without it, a manager whose data were put back to an
older moment may not notice, and the member takes what it kept for something of another life.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from ...core.errors import ConfigError
from .private_files import read_private, replace_private

log = logging.getLogger(__name__)

MARK_FILE: Final = "mark"
MAX_MARK: Final = 256
"""Bytes; ours have 72."""


def read(folder: Path) -> bytes:
    """The mark that is kept in this folder; empty when there is none, or none that can be used."""
    try:
        mark = read_private(folder / MARK_FILE)
    except FileNotFoundError:
        return b""
    except ConfigError as error:
        log.warning("what is known of the manager's data cannot be used: %s", error)
        return b""
    return mark if len(mark) <= MAX_MARK else b""


def keep(folder: Path, mark: bytes) -> None:
    """Have this mark from now on. Where that fails the old one stays: then too much is dropped, not kept."""
    if mark == read(folder) or len(mark) > MAX_MARK:
        return
    try:
        replace_private(folder / MARK_FILE, mark)
    except ConfigError as error:
        log.warning("what is known of the manager's data cannot be kept: %s", error)
