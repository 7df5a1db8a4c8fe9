"""The fault programme leaves nothing out: what was asked for has its row, and what a row names exists."""

from __future__ import annotations

import ast
import re

import pytest

from tests.faults.catalogue import FAULTS, Fault
from tests.support.sources import ROOT

ASKED_FOR = (
    "F1 F2 F3 F4 F5 F6 F7 F8 F11 F20 F21 F22 F25 F27 F28 F29 F40 F41 F42 F43 F46 F49 F50 F60 F61 F62 F63 F64"
    " F67 J2 J3 J4 J5"
)


PLAYED_NUMBERS = {fault.number for fault in FAULTS if not fault.nodes}
CASE = re.compile(r"\[(.*)\]$")


def test_faults_that_are_cases_of_the_programme_are_in_it() -> None:
    cases = [case[1] for fault in FAULTS for node in fault.nodes if (case := CASE.search(node))]
    assert cases
    assert set(cases) <= PLAYED_NUMBERS


def test_every_fault_that_was_asked_for_has_one_row() -> None:
    numbers = [fault.number for fault in FAULTS]
    assert set(ASKED_FOR.split()) <= set(numbers)
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.nodes], ids=lambda fault: fault.number)
def test_the_tests_that_it_names_exist(fault: Fault) -> None:
    for node in fault.nodes:
        path, _, name = node.partition("[")[0].partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        names = {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
        names |= {target.id for one in tree.body if isinstance(one, ast.Assign) for target in one.targets
                  if isinstance(target, ast.Name)}  # fmt: skip
        assert name in names, node
