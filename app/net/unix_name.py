"""A name by which a Unix socket can be bound or dialled, however long its path is.

The address of a socket holds a hundred bytes. Where the system has names for open directories, as Linux has,
a longer path is said by its directory, which is held open meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..paths import OPEN_FILES, SOCKET_PATH_LIMIT, any_socket_path


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """What to bind or dial while the block lasts.

    Raises:
        OSError: its directory cannot be opened.
    """
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT or not any_socket_path():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{OPEN_FILES}/{folder}/{path.name}"
    finally:
        os.close(folder)
