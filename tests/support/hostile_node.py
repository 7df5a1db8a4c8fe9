"""A simulated node all of whose free text was written by somebody who means harm."""

from __future__ import annotations

import inspect
from typing import Any

import msgpack
import msgspec
from msgspec.structs import replace

MARKUP = "[bold red on white]mark[/][@click=app.quit]up[/]"
EVIL = (
    "\x1b[31;1mred\x1b[2J\x1b]0;title\x07\x1b]52;c;aGFjaw==\x07\x9b5n\x90q\x9c"
    + MARKUP
    + "\u202egnp.exe\u2066\u200b\ufeff\r\nline\x00\x08\x7f\u2028"
    + "W" * 5_000
)
ESCAPED = "\\x1b[31;1mred"
"""How it begins where it is shown as it should be."""
FORBIDDEN = set("\x1b\x07\x9b\x90\x9c\u202e\u2066\u200b\ufeff\x00\x08\x7f\u2028\r")
_OURS = frozenset({"state", "role", "level", "what", "code", "scope", "transport", "path", "how", "at"})
"""Words of this program, never free text."""


def spoiled(value: Any, name: str = "") -> Any:
    """The same with harm in every text; what it was stays at its beginning, to be known apart."""
    if isinstance(value, msgspec.Struct):
        fields = {one: getattr(value, one) for one in value.__struct_fields__}
        return replace(value, **{one: spoiled(inner, one) for one, inner in fields.items()})
    if isinstance(value, tuple | list):
        return type(value)(spoiled(inner, name) for inner in value)
    if isinstance(value, dict):
        return {spoiled(key, name): spoiled(inner, name) for key, inner in value.items()}
    if isinstance(value, str):
        return value if name in _OURS or not value else f"{value}{EVIL}"
    if isinstance(value, bytes) and value:
        return EVIL.encode("utf-8", "surrogatepass") if name == "output" else msgpack.packb({EVIL: EVIL})
    return value


class HostileNode:
    """`inner`, spoiled. Numbers, states and the clock are left as they are."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name in {"snapshot", "events"}:
            return lambda *given: spoiled(found(*given))
        if not inspect.iscoroutinefunction(found):
            return found

        async def asked(*given: Any) -> Any:
            answer = await found(*given)
            return answer if name in {"count", "submit"} else spoiled(answer)

        return asked
