"""Starts a process that tries to get away from its task, and then ends, crashes or waits as it is told."""

import os
import signal
import subprocess
import time
from pathlib import Path

RUNTIME = "process"


def handle(payload):
    path, how, then = payload
    {"child": _child, "session": _session, "daemon": _daemon, "clean": _clean}[how](path)
    while not Path(path).exists():
        time.sleep(0.005)
    if then == "guard":
        os.kill(os.getppid(), signal.SIGKILL)
    elif then == "freeze":
        os.kill(os.getppid(), signal.SIGSTOP)
    elif then == "crash":
        os.abort()
    while then not in {"return", "fail"}:
        time.sleep(1)
    if then == "fail":
        raise ValueError("no luck")
    return "done"


def _script(path):
    return f"echo $$ > {path}.part; mv {path}.part {path}; exec sleep 1000"


def _child(path):
    subprocess.Popen(["sh", "-c", _script(path)])


def _session(path):
    subprocess.Popen(["sh", "-c", _script(path)], start_new_session=True)


def _clean(path):
    subprocess.Popen(["env", "-i", "/bin/sh", "-c", f"setsid /bin/sh -c '{_script(path)}' &"])


def _daemon(path):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 100)
            os.execve("/bin/sh", ["sh", "-c", _script(path)], {})
        os._exit(0)
    os.wait()
