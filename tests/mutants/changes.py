"""Small mistakes in one source text: each is a span of bytes and what stands there instead. Runs nothing."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

COMPARED: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
COUNTED: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.FloorDiv: "*",
    ast.Div: "*",
    ast.BitOr: "&",
    ast.BitAnd: "|",
}
OPPOSITE = {"min": "max", "max": "min", "any": "all", "all": "any"}
SPEAKERS = frozenset({"log", "logger", "_log", "LOG", "warnings"})
"""What calls of these say is for the log; that it is said is nothing that is drawn."""


@dataclass(frozen=True, order=True)
class Change:
    """One mistake: what stands from byte `start` to byte `end` of a file, and what stands there then."""

    start: int
    end: int
    before: str
    after: str
    line: int
    what: str

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]


class _Finder:
    """The changes of one function."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.starts = [0, *(found.end() for found in re.finditer(rb"\n", source))]

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.starts[node.lineno - 1] + node.col_offset,  # type: ignore[attr-defined]
            self.starts[node.end_lineno - 1] + node.end_col_offset,  # type: ignore[attr-defined]
        )

    def text(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode()

    def change(self, start: int, end: int, after: str, what: str) -> Change:
        line = self.source.count(b"\n", 0, start) + 1
        return Change(start, end, self.source[start:end].decode(), after, line, what)

    def whole(self, node: ast.AST, after: str, what: str) -> Change:
        return self.change(*self.span(node), after, what)

    def between(self, left: ast.AST, right: ast.AST, old: str, after: str, what: str) -> Iterator[Change]:
        """The word `old` in the gap between two nodes, where there may be brackets and comments too."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = re.sub(rb"#[^\n]*", lambda found: b" " * len(found[0]), self.source[start:end])
        found = re.search(old.encode(), gap)
        if found:
            yield self.change(start + found.start(), start + found.end(), after, what)

    def of(self, node: ast.AST) -> Iterator[Change]:
        finder = getattr(self, f"_{type(node).__name__.lower()}", None)
        if finder is not None:
            yield from finder(node)

    def _compare(self, node: ast.Compare) -> Iterator[Change]:
        for (left, right), operator in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
            old = {ast.IsNot: r"is\s+not", ast.NotIn: r"not\s+in", ast.In: "in", ast.Is: "is"}.get(
                type(operator), r"[<>=!]+"
            )
            for after in COMPARED[type(operator)]:
                yield from self.between(left, right, old, after, "comparison")

    def _boolop(self, node: ast.BoolOp) -> Iterator[Change]:
        old, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            yield from self.between(left, right, rf"\b{old}\b", after, "and/or")
        for value in node.values:
            yield self.whole(value, "True" if old == "and" else "False", "condition left out")

    def _unaryop(self, node: ast.UnaryOp) -> Iterator[Change]:
        if isinstance(node.op, ast.Not):
            yield self.whole(node, f"({self.text(node.operand)})", "not")

    def _if(self, node: ast.If) -> Iterator[Change]:
        yield self.whole(node.test, f"not ({self.text(node.test)})", "condition turned round")

    def _while(self, node: ast.While) -> Iterator[Change]:
        if not isinstance(node.test, ast.Constant):
            start = self.span(node)[0]
            yield self.change(start, start + len("while"), "if", "while/if")

    def _ifexp(self, node: ast.IfExp) -> Iterator[Change]:
        yield self.whole(node.test, f"not ({self.text(node.test)})", "condition turned round")

    def _constant(self, node: ast.Constant) -> Iterator[Change]:
        if isinstance(node.value, bool):
            yield self.whole(node, str(not node.value), "constant")
        elif isinstance(node.value, int):
            yield self.whole(node, str(node.value + 1), "constant")
            if node.value > 0:
                yield self.whole(node, str(node.value - 1), "constant")

    def _binop(self, node: ast.BinOp) -> Iterator[Change]:
        after = COUNTED.get(type(node.op))
        texts = any(
            isinstance(one, ast.JoinedStr) or (isinstance(one, ast.Constant) and isinstance(one.value, str))
            for one in (node.left, node.right)
        )
        if after and not texts:
            old = r"//|[-+*/|&]"
            yield from self.between(node.left, node.right, old, after, "arithmetic")

    def _augassign(self, node: ast.AugAssign) -> Iterator[Change]:
        after = COUNTED.get(type(node.op))
        if after:
            yield from self.between(node.target, node.value, r"(//|[-+*/|&])=", f"{after}=", "arithmetic")
        yield self.whole(node, "pass", "statement left out")

    def _expr(self, node: ast.Expr) -> Iterator[Change]:
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Call):
            yield self.whole(node, "pass", "statement left out")

    def _assign(self, node: ast.Assign) -> Iterator[Change]:
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            yield self.whole(node, "pass", "statement left out")

    def _raise(self, node: ast.Raise) -> Iterator[Change]:
        yield self.whole(node, "pass", "statement left out")

    def _delete(self, node: ast.Delete) -> Iterator[Change]:
        yield self.whole(node, "pass", "statement left out")

    def _return(self, node: ast.Return) -> Iterator[Change]:
        # Who asks whether something is so takes None for False: that would change nothing.
        same = isinstance(node.value, ast.Constant) and (
            node.value.value is None or node.value.value is False
        )
        if node.value is not None and not same:
            yield self.whole(node.value, "None", "returns None")

    def _break(self, node: ast.Break) -> Iterator[Change]:
        yield self.whole(node, "continue", "break/continue")

    def _continue(self, node: ast.Continue) -> Iterator[Change]:
        yield self.whole(node, "break", "break/continue")
        yield self.whole(node, "pass", "statement left out")

    def _call(self, node: ast.Call) -> Iterator[Change]:
        if isinstance(node.func, ast.Name) and node.func.id in OPPOSITE:
            yield self.whole(node.func, OPPOSITE[node.func.id], "opposite")
        plain = [one for one in node.args if not isinstance(one, ast.Starred)]
        commutes = isinstance(node.func, ast.Name) and node.func.id in {"min", "max"}
        if len(plain) == len(node.args) > 1 and not commutes:
            yield from self._swapped(node.args[0], node.args[1])
        for keyword in node.keywords:
            if keyword.arg is not None:
                yield from self._without(node, keyword)

    def _swapped(self, left: ast.expr, right: ast.expr) -> Iterator[Change]:
        first, second = self.text(left), self.text(right)
        start, end = self.span(left)[0], self.span(right)[1]
        between = self.source[self.span(left)[1] : self.span(right)[0]].decode()
        if first != second and not isinstance(left, ast.GeneratorExp) and between.strip() == ",":
            yield self.change(start, end, f"{second}{between}{first}", "arguments swapped")

    def _without(self, call: ast.Call, keyword: ast.keyword) -> Iterator[Change]:
        start, end = self.span(keyword)
        after = re.match(rb"\s*,\s*", self.source[end:])
        before = re.search(rb",\s*$", self.source[:start])
        if after:
            end += after.end()
        elif before:
            start = before.start()
        yield self.change(start, end, "", "keyword left out")


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """What runs inside a function: no annotations or decorators, nothing for the log, and nothing within an
    f-string, whose parts Python 3.11 cannot place.
    """
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "type_comment"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _for_the_log(child):
                continue
            yield child
            if not isinstance(child, ast.JoinedStr):
                yield from _parts(child)


def _for_the_log(node: ast.AST) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in SPEAKERS
    )


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, Function]]:
    """The functions of a module with their names; what is defined inside one belongs to it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{within}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{within}{node.name}.")
        elif isinstance(node, ast.If | ast.Try):
            yield from functions(node, within)


def changes(source: bytes, function: Function) -> list[Change]:
    """Every change to a function that is still Python, in the order of the text."""
    finder = _Finder(source)
    found = {change for node in _parts(function) for change in finder.of(node)}
    begin, end = finder.starts[function.lineno - 1], finder.span(function)[1]
    before = b"class _:\n" if function.col_offset else b""
    return sorted(
        change
        for change in found
        if _is_python(
            before + source[begin : change.start] + change.after.encode() + source[change.end : end] + b"\n"
        )
    )


def _is_python(source: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(source, "mutant", "exec", dont_inherit=True)
        except SyntaxError:
            return False
    return True
