"""Tells what it finds around it."""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

RUNTIME = "process"


def handle(payload):
    return {
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "files": [path.name for path in Path.cwd().iterdir()],
        "temporary": tempfile.gettempdir(),
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "session": os.getsid(0),
        "stdin": os.fstat(0).st_rdev == Path("/dev/null").stat().st_rdev,
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "path": sys.path[0],
        "inherited": subprocess.run(
            ["ls", "/proc/self/fd"], close_fds=False, capture_output=True, text=True, check=True
        ).stdout.split(),
    }
