"""Only a border may catch everything: there, and nowhere else, the code beyond is not ours to know."""

from __future__ import annotations

import ast

from tests.support.sources import SOURCES, name, tree

BORDERS = {
    "app/net/zerotier/loop.py": "the thread of all sockets: a bug in the care of one ends that one alone",
    "app/hosted.py": "a node on its own thread: whoever looks at it is told what became of it",
    "app/roles/door.py": "a connection: a bug in greeting one peer ends that connection alone",
    "app/roles/vitals.py": "a process that is broken: nothing may keep it from ending",
    "app/roles/sessions.py": "a session: a bug in serving one peer ends that session alone",
    "app/roles/worker.py": "a session: a bug in serving it takes down neither what runs nor what is kept",
    "app/store/writer.py": "the thread that writes: what fails for a batch comes again for the one at fault",
    "app/store/lane.py": "a thread of its own: what happens in it is raised at the caller",
    "app/runtimes/async_.py": "task code may raise anything",
    "app/runtimes/child.py": "what task code has done to its process may make anything fail",
    "app/runtimes/failures.py": "an exception of task code is task code too",
    "app/runtimes/invoke.py": "task code may raise anything",
}
"""Files that may catch everything, and what lies beyond them."""
_EVERYTHING = {"Exception", "BaseException", "ExceptionGroup", "BaseExceptionGroup"}


def catches_everything(node: ast.AST) -> bool:
    """Whether `node` swallows any error there is: a handler that ends by raising does not."""
    if isinstance(node, ast.ExceptHandler):
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = any(kind is None or getattr(kind, "id", "") in _EVERYTHING for kind in caught)
        return broad and not isinstance(node.body[-1], ast.Raise)
    if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "suppress":
        return any(getattr(kind, "id", "") in _EVERYTHING for kind in node.args)
    return False


def test_everything_is_caught_at_named_borders_only() -> None:
    found = {name(path) for path in SOURCES if any(map(catches_everything, ast.walk(tree(path))))}
    assert found <= BORDERS.keys()
    assert BORDERS.keys() <= found, "a border that is none any more leaves the list"
