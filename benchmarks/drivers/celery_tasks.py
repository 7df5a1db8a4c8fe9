"""What Celery's workers and the client share; a worker finds its Redis in BENCH_REDIS."""

from __future__ import annotations

import os

from celery import Celery


def make(address: str) -> Celery:
    """The application, with that Redis as broker and result store. It has one task: `same`."""
    made = Celery("bench", broker=address, backend=address, set_as_current=False)

    @made.task(name="same", shared=False)
    def same(number: int) -> int:
        return number

    return made


if "BENCH_REDIS" in os.environ:
    app = make(os.environ["BENCH_REDIS"])
