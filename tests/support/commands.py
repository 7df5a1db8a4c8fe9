"""Commands run in this process, with something that stands in for the manager that they would talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result


def talk_to(remote: Any, patch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Have the commands of these modules find this instead of a manager."""

    @asynccontextmanager
    async def manager() -> AsyncIterator[Any]:
        yield remote

    for module in modules:
        patch.setattr(module, "manager", manager)


def call(command: Any, *words: str, typed: str | None = None) -> Result:
    """Run it as if these words had been typed; what is no exit is raised."""
    result = CliRunner().invoke(command, list(words), input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
