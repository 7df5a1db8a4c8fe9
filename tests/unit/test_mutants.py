"""The tool behind `make mutants`: what it changes, what it draws, which tests it would run."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from tests.mutants.changes import Change, changes, functions
from tests.mutants.reach import Reach, digest
from tests.mutants.rooms import LEFT_OUT, Mutant, draw, equivalents, is_equivalent
from tests.mutants.run import Verdict, statement, table
from tests.support.sources import ROOT

SAMPLE = '''
def first(a, b, *, room=True):
    """Says 1 < 2 and more."""
    log.debug("seen %d", 1)
    while a < b and not room:
        if a is None:  # a > b
            continue
        while b:
            b = 0
        b = move(a, b, step=2)
        room += 1
    return f"{a + 1}"
'''


def made(source: str = SAMPLE) -> list[Change]:
    text = source.encode()
    return changes(text, next(functions(ast.parse(text)))[1])


def pairs(source: str = SAMPLE) -> set[tuple[str, str]]:
    return {(change.before, change.after) for change in made(source)}


def test_each_change_is_one_mistake_that_is_still_python() -> None:
    for change in made():
        wrong = change.applied(SAMPLE.encode())
        assert wrong != SAMPLE.encode()
        ast.parse(wrong)


def test_all_the_usual_mistakes_are_made() -> None:
    expected = {
        ("<", "<="),
        ("<", ">="),
        ("and", "or"),
        ("not room", "(room)"),
        ("is", "is not"),
        ("a is None", "not (a is None)"),
        ("continue", "break"),
        ("a, b", "b, a"),
        (", step=2", ""),
        ("2", "3"),
        ("2", "1"),
        ("room += 1", "pass"),
        ("+=", "-="),
        ('f"{a + 1}"', "None"),
        ("while", "if"),
    }
    assert expected <= pairs()


def test_what_says_no_is_made_to_say_yes_and_not_to_say_nothing() -> None:
    assert pairs("def f(a):\n    return False\n") == {("False", "True")}
    assert pairs("def f(a):\n    return None\n") == set()
    assert ("0", "None") in pairs("def f(a):\n    return 0\n")
    assert ("''", "None") in pairs("def f(a):\n    return ''\n")


def test_what_has_no_order_is_not_put_into_another_one() -> None:
    assert pairs("def f(a, b):\n    g(min(a, b))\n") >= {("min", "max")}
    assert ("a, b", "b, a") not in pairs("def f(a, b):\n    g(min(a, b))\n")
    assert ("a, b", "b, a") in pairs("def f(a, b):\n    g(a, b)\n")


def test_texts_comments_and_what_is_for_the_log_stay() -> None:
    assert {change.line for change in made()} == {2, *range(5, 13)}
    assert ("+", "-") not in pairs()


def test_letters_of_several_bytes_do_not_move_what_is_changed() -> None:
    source = "def f(a):\n    return g('ä€', a) and a == 1\n"
    assert ("'ä€', a", "a, 'ä€'") in pairs(source)
    assert ("==", "!=") in pairs(source)


def test_a_seed_draws_the_same_again_and_evenly_over_the_rooms() -> None:
    drawn = draw(ROOT, 7, 9, ["core", "store"])
    assert drawn == draw(ROOT, 7, 9, ["core", "store"])
    assert drawn != draw(ROOT, 8, 9, ["core", "store"])
    assert Counter(one.room for one in drawn) == {"core": 5, "store": 4}
    assert all((ROOT / one.path).is_file() and one.path.startswith(f"app/{one.room}/") for one in drawn)
    assert not any(one.path.removeprefix("app/").startswith(LEFT_OUT) for one in drawn)


def test_what_is_listed_as_equivalent_is_found_by_what_it_says(tmp_path: Path) -> None:
    mutant = Mutant("core", "app/core/x.py", "f", Change(0, 1, "<", "<=", 4, "comparison"))
    listed = equivalents("# a remark\n\napp/core/x.py f: < -> <=  # both are never equal\n")
    assert listed == {"app/core/x.py f: < -> <=": "both are never equal"}
    assert is_equivalent(mutant, listed)
    assert not is_equivalent(mutant, {})


def test_a_line_that_moved_is_run_by_the_same_tests() -> None:
    known = Reach({"a.py": {"2": ["slow", "fast"]}}, {"slow": 2.0, "fast": 0.1}, {"a.py": "x = 1\ny = 2\n"})
    assert known.tests("a.py", [2], "x = 1\ny = 2\n") == ["fast", "slow"]
    assert known.tests("a.py", [4], "x = 1\n\n\ny = 2\n") == ["fast", "slow"]
    assert known.tests("a.py", [2], "x = 1\nz = 3\n") == []


def test_what_runs_in_the_processes_of_tasks_is_tried_with_all_tests_that_start_them() -> None:
    inside = "tests/contract/test_runtimes.py::test_it[process]"
    known = Reach({}, {inside: 1.0, "tests/contract/test_runtimes.py::test_it[thread]": 0.1}, {})
    assert known.tests("app/runtimes/child.py", [1], "x = 1\n") == [inside]
    assert known.tests("app/core/life.py", [1], "x = 1\n") == []


def test_what_is_known_of_tests_stays_known_until_the_code_or_they_change(tmp_path: Path) -> None:
    for name in ("app", "tests/unit", "tests/other", "tests/support"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "one.py").write_text("x = 1\n")
    (tmp_path / "tests/conftest.py").write_text("")
    before = digest(tmp_path, ["tests/unit"])
    (tmp_path / "tests/other/one.py").write_text("x = 2\n")
    assert digest(tmp_path, ["tests/unit"]) == before
    for name in ("app/one.py", "tests/unit/one.py", "tests/support/one.py", "tests/conftest.py"):
        (tmp_path / name).write_text("x = 3\n")
        assert digest(tmp_path, ["tests/unit"]) != before
        before = digest(tmp_path, ["tests/unit"])


def test_a_statement_of_several_lines_is_run_where_it_begins() -> None:
    source = b"def f(a):\n    if (\n        a\n        and b\n    ):\n        return 1\n"
    assert statement(source, 4) == range(2, 5)
    assert statement(source, 6) == range(6, 7)


def test_the_table_counts_what_was_not_noticed_in_time_as_not_noticed() -> None:
    ends = ["killed", "killed", "killed", "survived", "timed out", "equivalent"]
    verdicts = [
        Verdict(Mutant("core", "app/core/x.py", "f", Change(n, n + 1, "<", ">", n, "comparison")), end, "why")
        for n, end in enumerate(ends)
    ]
    said = table(verdicts, ["core"])
    assert "| core | 6 | 3 | 1 | 1 | 1 | 3/5 = 60 % |" in said
    assert said.count("app/core/x.py:") == 2
