"""Too many open files: the store is busy for as long as that lasts, and neither failed nor damaged."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from taskmessenger.core.errors import StoreBusy

from tests.support.large import big
from tests.support.stores import a_store, submit


@contextmanager
def no_files_left(but: int = 0) -> Iterator[None]:
    """This process may not open another file, but for so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 20, hard))
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for fd in held[:but]:
            os.close(fd)
        del held[:but]
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_large_value_waits_for_a_file_and_is_stored_when_there_is_one(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.open()
    await store.commit(submit(1))
    with no_files_left(), pytest.raises(StoreBusy, match="too many files"):
        await store.commit(submit(2, payload=big(2)))
    await store.commit(submit(2, payload=big(2)))
    assert await store.payloads([2]) == {2: big(2)}
    await store.close()


async def test_a_large_value_that_cannot_be_read_now_is_not_damaged(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    await store.open()
    await store.commit(submit(1, payload=big(1)))
    with no_files_left(), pytest.raises(StoreBusy):
        await store.payloads([1])
    assert await store.payloads([1]) == {1: big(1)}
    await store.close()


@pytest.mark.parametrize("left", range(4))
async def test_a_store_that_cannot_be_opened_for_that_is_busy(tmp_path: Path, left: int) -> None:
    store = a_store(tmp_path)
    await store.open()
    await store.close()
    refused, again = a_store(tmp_path), a_store(tmp_path)
    with no_files_left(left), pytest.raises(StoreBusy):
        await refused.open()
    assert not (await again.open()).tasks
    await again.close()
