"""Built-in kinds of task: one module each, with `handle`, loaded when a worker asks for it.

They compute; they know nothing of tasks, workers or networks. A payload they cannot use is a `ValueError`
whose one line says what they want.
"""

from typing import Final

NAMES: Final = ("echo", "hash", "reverse", "sum", "upper", "wait", "wordcount")
"""Each is a module here."""
