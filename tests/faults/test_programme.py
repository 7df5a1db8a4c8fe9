"""The fault programme at its size for every commit: what must hold holds, whatever breaks.

Those of its faults that are tests elsewhere run where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.catalogue import PLAYED, Fault
from tests.support.chaos import Skipped

SECONDS = 300
"""On a machine that does many other things; on a quiet one none needs half a minute."""


@pytest.mark.timeout(SECONDS)
@pytest.mark.faults
@pytest.mark.parametrize("fault", PLAYED, ids=lambda fault: fault.number)
async def test_guarantees_hold_whatever_breaks(
    fault: Fault, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    run = fault.run(tmp_path / "x")
    try:
        await fault.play(run)
    except Skipped as why:
        pytest.skip(str(why))
    finally:
        print(fault.number, run.seed, run.figures, run.missed)
        for missed in run.missed:
            record_property("over goal", missed)
