"""HyperQueue's server and workers in a process of their own: python hyperqueue_host.py DIRECTORY WORKERS.

The wheel on PyPI holds no `hq` command; its LocalCluster starts server and workers as threads of one process.
Each task is a process in any case.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from hyperqueue.cluster import LocalCluster, WorkerConfig

with LocalCluster(sys.argv[1]) as cluster:
    for _ in range(int(sys.argv[2])):
        cluster.start_worker(WorkerConfig(cores=1))
    (Path(sys.argv[1]) / "ready").touch()
    signal.pause()
