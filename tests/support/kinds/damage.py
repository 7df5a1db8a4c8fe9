"""Does to its own process what the next task must not find, or says how it finds its process."""

import builtins
import ctypes
import locale
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

RUNTIME = "process"


def handle(payload):
    if payload is None:
        return _state()
    return DEEDS[payload]()


def _state():
    print("still heard", flush=True)
    return {
        "pid": os.getpid(),
        "environment": {
            k: v for k, v in os.environ.items() if k not in {"TM_TASK", "TMPDIR", "TM_RUN", "HOME"}
        },
        "umask": _umask(),
        "recursion": sys.getrecursionlimit(),
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0],
        "term": str(signal.getsignal(signal.SIGTERM)),
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "streams": [sys.stdin.closed, sys.stdout.closed, sys.stderr.closed],
        "open": repr(builtins.open),
        "listdir": repr(os.listdir),
        "path": sys.path[:],
        "locale": locale.setlocale(locale.LC_ALL),
        "threads": threading.active_count(),
        "files": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "timeout": socket.getdefaulttimeout(),
        "trace": repr(sys.gettrace()),
    }


def _umask():
    found = os.umask(0)
    os.umask(found)
    return found


def _hide_open():
    builtins.open = None


def _no_directories():
    os.listdir = None


def _sleeping_thread():
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def _leak():
    globals()["leaked"] = [os.dup(0) for _ in range(500)]


def _close_stdout():
    sys.stdout.close()


def _mask():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


def _close_all():
    os.closerange(0, 3)


DEEDS = {
    "alarm": lambda: signal.alarm(1),
    "timer": lambda: signal.setitimer(signal.ITIMER_PROF, 0.2) and None,
    "recursion": lambda: sys.setrecursionlimit(100),
    "stdout": _close_stdout,
    "replaced": lambda: setattr(sys, "stdout", None),
    "descriptors": _close_all,
    "environment": os.environ.clear,
    "variable": lambda: os.environ.update(TM_EVIL="1"),
    "open": _hide_open,
    "os": _no_directories,
    "umask": lambda: os.umask(0o777) and None,
    "handler": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN) and None,
    "mask": _mask,
    "path": sys.path.clear,
    "thread": _sleeping_thread,
    "leak": _leak,
    "limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)),
    "nice": lambda: os.nice(3) and None,
    "timeout": lambda: socket.setdefaulttimeout(0.001),
    "trace": lambda: sys.settrace(lambda *_: None),
    "chdir": lambda: os.chdir("/"),
    "process": lambda: subprocess.Popen(["sleep", "1000"]) and None,
    "locale": lambda: ctypes.CDLL(None).setlocale(6, b"C") and None,
}
