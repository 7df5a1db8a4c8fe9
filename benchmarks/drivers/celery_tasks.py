"""What Celery's workers and the client share. The Redis to use is in BENCH_REDIS."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_REDIS"], backend=os.environ["BENCH_REDIS"])


@app.task
def same(number: int) -> int:
    return number
