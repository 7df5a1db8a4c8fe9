"""Which kinds a worker offers, what it says to files and settings it cannot use; payloads."""

import contextlib
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.core.errors import ConfigError, FrameTooLarge, PeerError
from taskmessenger.kinds import NAMES
from taskmessenger.runtimes import payload as codec
from taskmessenger.runtimes.failures import MESSAGE_BYTES, STACK_BYTES, describe
from taskmessenger.runtimes.frames import Splitter, frame
from taskmessenger.runtimes.limits import Limits
from taskmessenger.runtimes.payload import BadPayload, pack, unpack
from taskmessenger.runtimes.registry import Registry


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "kinds"
    path.mkdir()
    return path


def refusal(allow=("*",), paths=(), runtimes=None) -> str:
    """Why it cannot be used: a setting, or one kind, while all others can."""
    try:
        registry = Registry.load(allow, paths, runtimes or {})
    except ConfigError as error:
        text = str(error)
    else:
        (text,) = registry.broken.values()
        assert {kind for kind in NAMES if allow == ("*",)} - (runtimes or {}).keys() <= set(registry.names())
    assert "\n" not in text
    return text


def test_the_built_in_kinds_are_offered_by_default():
    assert Registry.load().names() == sorted(NAMES)


def test_async_handlers_run_on_the_loop_and_others_in_processes_but_for_the_built_in_ones(folder):
    (folder / "one.py").write_text("async def handle(payload): pass")
    (folder / "two.py").write_text("def handle(payload): pass")
    (folder / "three.py").write_text("RUNTIME = 'process'\ndef handle(payload, ctx): pass")
    (folder / "four.py").write_text("RUNTIME = 'thread'\ndef handle(payload): pass")
    kinds = {kind.name: kind for kind in Registry.load(("*",), [folder])}
    assert [kinds[name].runtime for name in ("one", "two", "three", "four")] == [
        "async",
        "process",
        "process",
        "thread",
    ]
    assert [kinds[name].takes_context for name in ("one", "two", "three")] == [False, False, True]
    assert [kinds[name].runtime for name in ("hash", "echo")] == ["thread", "async"]


def test_the_operator_may_choose_the_runtime():
    registry = Registry.load(runtimes={"hash": "process", "echo": "thread"})
    assert {info.name: (info.runtime, info.isolated) for info in registry.announce()}["hash"] == (
        "process",
        True,
    )
    assert registry.get("echo").runtime == "thread"


@pytest.mark.parametrize("final", ["3", "(1, ValueError)", "('',)", "(object,)", "[ValueError] * 65"])
def test_final_exceptions_are_classes_or_names(folder, final):
    (folder / "bad.py").write_text(f"FINAL = {final}\ndef handle(payload): pass")
    assert f"{folder / 'bad.py'}: FINAL " in refusal(paths=[folder])


def test_sync_code_is_never_put_on_the_loop(folder):
    assert "`hash` cannot run as async" in refusal(runtimes={"hash": "async"})
    (folder / "bad.py").write_text("RUNTIME = 'async'\ndef handle(payload): pass")
    assert "bad.py: `bad` cannot run as async" in refusal(paths=[folder])


def test_a_runtime_for_a_kind_that_is_not_offered_is_refused():
    assert "did you mean `hash`?" in refusal(runtimes={"hush": "process"})
    assert "`warp` is none of async, thread, process" in refusal(runtimes={"hash": "warp"})
    assert "no such kind" in refusal(allow=("echo",), runtimes={"hash": "process"})


def test_only_allowed_kinds_are_offered_and_others_are_not_even_loaded(folder):
    (folder / "trap.py").write_text("raise SystemExit('loaded')")
    assert Registry.load(("e*", "h?sh"), [folder]).names() == ["echo", "hash"]
    assert Registry.load((), [folder]).names() == []


def test_an_allowed_name_that_does_not_exist_is_refused():
    assert refusal(allow=("ecko",)) == "allowed kinds: there is no kind called `ecko` (did you mean `echo`?)"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def handle(:", "SyntaxError"),
        (
            "import no_such_module_anywhere\nhandle = print",
            "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        ),
        ("import sys; sys.exit(3)\nhandle = print", "SystemExit: 3"),
        ("handle = 3", "has no function `handle(payload)`"),
        ("def handle(): pass", "must accept (payload) or (payload, ctx)"),
        ("def handle(a, b, c): pass", "must accept (payload) or (payload, ctx)"),
        ("def handle(a, *, b): pass", "must accept (payload) or (payload, ctx)"),
        ("RUNTIME = 'warp'\ndef handle(p): pass", "runtime 'warp' is none of async, thread, process"),
        ("TIMEOUT = -1\ndef handle(p): pass", "TIMEOUT must be a number of seconds above 0, not -1"),
        ("TIMEOUT = True\ndef handle(p): pass", "TIMEOUT must be a number of seconds above 0, not True"),
        ("DESCRIPTION = 3\ndef handle(p): pass", "DESCRIPTION must be text, not int"),
    ],
)
def test_a_broken_file_is_named_with_the_reason_in_one_line(folder, source, says):
    (folder / "broken.py").write_text(source)
    text = refusal(paths=[folder])
    assert text.startswith(f"{folder}/broken.py: ")
    assert says in text


def test_a_file_without_a_handle_is_a_helper_unless_it_is_asked_for(folder):
    (folder / "plain.py").write_text("raise SystemExit('loaded')")
    assert Registry.load(("*",), [folder]).names() == sorted(NAMES)
    (folder / "plain.py").write_text("x = 1")
    assert "has no function `handle(payload)`" in refusal(("plain",), [folder])


@pytest.mark.parametrize("runtime", ["thread", "process"])
def test_helpers_beside_kinds_can_be_imported(folder, runtime):
    (folder / "_common.py").write_text("X = 'common'")
    (folder / "helper.py").write_text("from _common import X")
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text("from .inner import Y")
    (folder / "pack" / "inner.py").write_text("Y = 'packed'")
    text = f"import helper, pack\nRUNTIME = {runtime!r}\nDESCRIPTION = helper.X + pack.Y\ndef handle(p): pass"
    (folder / "mine.py").write_text(text)
    (told,) = Registry.load(("mine",), [folder]).announce()
    assert told.description == "commonpacked"


def test_helpers_of_one_name_in_two_folders_are_not_mixed_up(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for place in (folder, other):
        (place / "_common.py").write_text(f"X = {place.name!r}")
        (place / f"{place.name}_kind.py").write_text(
            "from _common import X as DESCRIPTION\ndef handle(p): pass"
        )
    told = {info.name: info.description for info in Registry.load(("*_kind",), [folder, other]).announce()}
    assert told == {"kinds_kind": "kinds", "other_kind": "other"}


@pytest.mark.parametrize("runtime", ["thread", "process"])
@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("import os; os.kill(os.getpid(), 11)", "its process died of SIGSEGV while it loaded the code"),
        ("import os; os._exit(7)", "its process exited with code 7 while it loaded the code"),
        ("while True: pass", "loading it took longer than limits.import_seconds (2 s)"),
        ("x = bytearray(2**40)", "raise limits.memory_mb"),
        ("import os; os.write(2, b'last words\\n'); os.abort()", "last words"),
    ],
)
def test_code_that_dies_while_it_is_loaded_takes_nothing_along(folder, runtime, does, says):
    (folder / "deadly.py").write_text(f"{does}\nRUNTIME = {runtime!r}\ndef handle(p): pass")
    (folder / "good.py").write_text("def handle(p): pass")
    limits = Limits(memory=2**32, import_seconds=2)
    registry = Registry.load(("*",), [folder], limits=limits)
    assert "good" in registry.names()
    assert "deadly" not in registry.names()
    assert registry.broken["deadly"].startswith(f"{folder}/deadly.py: ")
    assert says in registry.broken["deadly"]


def test_a_process_kind_is_never_loaded_in_the_worker(folder):
    text = "import sys; sys.was_here = True\nRUNTIME = 'process'\nEXAMPLE = [1, 'x']\nTIMEOUT = 5\n"
    (folder / "away.py").write_text(f"{text}def handle(payload, ctx): pass")
    registry = Registry.load(("away",), [folder])
    kind = registry.get("away")
    assert not hasattr(sys, "was_here")
    assert (kind.runtime, kind.takes_context, kind.timeout, kind.example) == ("process", True, 5.0, [1, "x"])


def test_a_file_whose_name_can_be_no_kind_is_refused(folder):
    (folder / "not-a-name.py").write_text("def handle(p): pass")
    assert "cannot be the name of a kind; rename it" in refusal(paths=[folder])


def test_helpers_and_other_files_are_no_kinds(folder):
    for name in ("_helper.py", "__init__.py", ".#lock.py", "notes.txt"):
        (folder / name).write_text("raise RuntimeError")
    assert Registry.load(("*",), [folder]).names() == sorted(NAMES)


def test_the_same_name_twice_is_refused(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for place in (folder, other):
        (place / "mine.py").write_text("def handle(p): pass")
    assert f"kind `mine` is also {folder}/mine.py" in refusal(paths=[folder, other])
    (other / "mine.py").rename(other / "hash.py")
    assert "kind `hash` is also a built-in kind" in refusal(paths=[other])


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    assert f"{tmp_path}/none: kinds cannot be read from there: No such file" in refusal(
        paths=[tmp_path / "none"]
    )


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_may_write_is_refused(folder, mode):
    (folder / "open.py").write_text("def handle(p): pass")
    (folder / "open.py").chmod(mode)
    assert "chmod go-w" in refusal(paths=[folder])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(folder):
    (folder / "given.py").write_text("def handle(p): pass")
    os.chown(folder / "given.py", 65_534, -1)
    assert "belongs to another user (uid 65534)" in refusal(paths=[folder])


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
@pytest.mark.parametrize("above", [False, True])
def test_a_folder_that_others_may_write_in_is_refused_and_so_is_one_above_it(tmp_path, mode, above):
    """Nobody can replace what is ours in a folder above that keeps everybody to his own, like /tmp."""
    kinds = tmp_path / "above" / "kinds"
    kinds.mkdir(parents=True)
    (kinds / "fine.py").write_text("def handle(p): pass")
    (kinds.parent if above else kinds).chmod(mode)
    if above and mode == 0o1777:
        assert "fine" in Registry.load(paths=[kinds]).names()
        return
    with pytest.raises(ConfigError, match=r"may write .*chmod go-w"):
        Registry.load(paths=[kinds])


def test_the_cure_at_the_end_of_a_refusal_is_there_however_deep_the_folder_lies(folder):
    deep = folder.joinpath(*["a" * 100] * 2)
    deep.mkdir(parents=True, mode=0o700)
    (deep / "_helper.py").write_text("one = 1")
    (deep / "_helper.py").chmod(0o666)
    (deep / "uses.py").write_text("import _helper\ndef handle(p): return p")
    assert refusal(paths=[deep]).endswith("others may change _helper.py: `chown` or `chmod go-w` it")


def test_a_compiled_module_beside_a_kind_is_looked_at_before_it_is_loaded(folder):
    compiled = folder / f"_fast{EXTENSION_SUFFIXES[0]}"
    compiled.write_bytes(b"no machine code")
    (folder / "uses.py").write_text("import _fast\ndef handle(p): return p")
    assert "others may change" not in refusal(paths=[folder])
    compiled.chmod(0o666)
    assert f"others may change {compiled.name}: `chown` or `chmod go-w` it" in refusal(paths=[folder])


@pytest.mark.parametrize("how", ["a module", "a package", "a file in a package"])
def test_what_a_kind_imports_from_beside_itself_is_looked_at_in_the_same_way(folder, how):
    helper = folder / ("_helper.py" if how == "a module" else "_helper/__init__.py")
    helper.parent.mkdir(exist_ok=True)
    helper.write_text("one = 1")
    (folder / "uses.py").write_text("from _helper import one\ndef handle(p): return one")
    open_to_others = helper
    if how == "a package":
        open_to_others = helper.parent
    elif how == "a file in a package":
        open_to_others = helper.with_name("inner.py")
        open_to_others.write_text("")
    assert "uses" in Registry.load(paths=[folder]).names()
    open_to_others.chmod(open_to_others.stat().st_mode | 0o020)
    helper.write_text("one = 2")
    why = refusal(paths=[folder])
    assert f"others may change {open_to_others.name}: `chown` or `chmod go-w` it" in why


def test_a_pipe_in_the_folder_of_kinds_is_waited_for_by_nobody(folder):
    os.mkfifo(folder / "pipe.py", 0o600)
    os.mkfifo(folder / "_pipe.py", 0o600)
    (folder / "fine.py").write_text("def handle(p): pass")
    registry = Registry.load(paths=[folder])
    assert "fine" in registry.names()
    assert "is no file" in registry.broken["pipe"]


def test_python_kinds_are_offered_only_when_they_are_named(folder):
    registry = Registry.load(
        ("python:math.sqrt", "python:taskmessenger.kinds.upper"), runtimes={"python:math.sqrt": "thread"}
    )
    assert registry.names() == ["python:math.sqrt", "python:taskmessenger.kinds.upper"]
    assert registry.get("python:math.sqrt").handler(9) == 3
    assert registry.get("python:os.system") is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("python:os.*", "without wildcards"),
        ("python:", "write it as python:package.module"),
        ("python:os;x", "cannot be the name of a kind"),
        ("python:no_such_package.func", "no module called `no_such_package`"),
        ("python:os.no_such_function", "module `os` has no `no_such_function`"),
        ("python:os", "has no function `handle(payload)`"),
        ("python:" + "a" * 64, "cannot be the name of a kind"),
    ],
)
def test_python_kinds_that_cannot_be_used_are_refused(name, says):
    assert says in refusal(allow=(name,))


@pytest.mark.parametrize(
    "open_to_others", ["code/fine/jobs.py", "code/fine/__init__.py", "code/fine", "code"]
)
def test_python_kinds_that_others_could_change_are_not_imported(tmp_path, monkeypatch, open_to_others):
    package = tmp_path / "code" / "fine"
    package.mkdir(parents=True)
    for file in ("__init__.py", "jobs.py"):
        (package / file).write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({file!r})\ndef double(p): pass\n"
        )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    monkeypatch.syspath_prepend(tmp_path / "code")
    place = tmp_path / open_to_others
    place.chmod(place.stat().st_mode | 0o022)
    why = refusal(allow=("python:fine.jobs.double",))
    assert why.startswith(f"python:fine.jobs.double: {place}: everybody may write ")
    assert "`chmod go-w" in why
    assert not (tmp_path / "ran").exists() or "jobs.py" not in (tmp_path / "ran").read_text()
    place.chmod(place.stat().st_mode & ~0o022)
    assert Registry.load(("python:fine.jobs.double",)).names() == ["python:fine.jobs.double"]


def test_a_second_parameter_with_a_default_is_no_context_unless_it_is_called_so(folder):
    (folder / "plain.py").write_text("def handle(payload, digits=2): pass")
    (folder / "named.py").write_text("def handle(payload, ctx=None): pass")
    registry = Registry.load(("plain", "named"), [folder])
    assert (registry.get("plain").takes_context, registry.get("named").takes_context) == (False, True)


def test_a_description_is_one_line(folder):
    (folder / "told.py").write_text('"""First line.\n\nMore.\n"""\ndef handle(p): pass')
    assert Registry.load(("told",), [folder]).announce()[0].description == "First line."


def test_a_child_process_starts_without_what_it_does_not_need():
    heavy = ("anyio", "asyncio", "msgspec", "psutil")
    probe = f"import sys, taskmessenger.runtimes.child; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# payloads

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 99), inner),
    max_leaves=20,
)


@given(values)
def test_what_is_packed_is_unpacked(value):
    assert unpack(pack(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_bad_payload(data):
    with contextlib.suppress(BadPayload):
        unpack(data)


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\x01"


def test_nesting_is_limited_exactly():
    assert unpack(nested(codec.MAX_NESTING))
    assert pack(unpack(nested(codec.MAX_NESTING)))
    for depth in (codec.MAX_NESTING + 1, 500, 2_000, 100_000):
        with pytest.raises(BadPayload):
            unpack(nested(depth))
    with pytest.raises(BadPayload, match="nested deeper than 64"):
        pack([unpack(nested(codec.MAX_NESTING))])


def test_maps_count_as_nesting_too():
    with pytest.raises(BadPayload, match="nested deeper"):
        unpack(b"\x81\x01" * (codec.MAX_NESTING + 1) + b"\x01")


@pytest.mark.parametrize(
    "bomb",
    [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"],
)
def test_a_length_bomb_is_refused_before_it_is_allocated(bomb):
    with pytest.raises(BadPayload):
        unpack(bomb)


def test_a_list_that_holds_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(BadPayload):
        pack(loop)


def test_an_unhashable_key_is_a_bad_payload():
    with pytest.raises(BadPayload):
        unpack(b"\x81\x90\x01")


def test_size_is_limited(monkeypatch):
    monkeypatch.setattr(codec, "MAX_BYTES", 100)
    with pytest.raises(BadPayload, match="more than the 100"):
        pack(b"x" * 101)
    with pytest.raises(BadPayload, match="more than the 100"):
        unpack(msgpack.packb(b"x" * 101))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({1}, "a set, and msgpack holds only"),
        ({"a": [0, object()]}, "an object at ['a'][1], and"),
        ({(1, frozenset()): 1}, "a frozenset at (key)[1]"),
        (2**64, "an int of 65 bits, more than the 64"),
        ("\ud800", "a str that is not valid Unicode"),
    ],
)
def test_what_cannot_be_packed_is_named(value, says):
    with pytest.raises(BadPayload) as caught:
        pack(value)
    assert str(caught.value).startswith(says)


def test_a_packer_works_on_after_a_failure():
    packer = codec.Packer()
    with pytest.raises(BadPayload):
        packer([1, {2}])
    assert packer([1]) == msgpack.packb([1])
    assert packer("x" * 100_000) == msgpack.packb("x" * 100_000)
    assert packer(1) == b"\x01"


# failures and frames


class Nasty(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")


def test_an_error_whose_text_fails_is_still_described():
    message, stack = describe(Nasty())
    assert message == "Nasty: (its text cannot be had: RuntimeError)"
    assert "Nasty" in stack


class Nastier(Exception):
    def __str__(self):
        raise SystemExit


def test_an_error_whose_text_wants_to_end_the_program_is_still_described():
    assert describe(Nastier())[0].startswith("Nastier: ")


def test_a_description_is_bounded_and_valid():
    message, stack = describe(ValueError("\ud800" + "ä" * 100_000))
    assert len(message.encode()) <= MESSAGE_BYTES
    assert len(stack.encode()) <= STACK_BYTES


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 7))
def test_frames_survive_any_chunking(bodies, step):
    data = b"".join(frame("x", body) for body in bodies)
    splitter, seen = Splitter(), []
    for start in range(0, len(data), step):
        seen += splitter.feed(data[start : start + step])
    assert seen == [["x", body] for body in bodies]


def test_an_oversized_frame_is_refused_at_its_header():
    with pytest.raises(FrameTooLarge):
        list(Splitter().feed(b"\xff\xff\xff\xff"))


@given(st.binary(max_size=60))
def test_a_frame_of_rubbish_is_the_peers_fault(data):
    try:
        list(Splitter().feed(len(data).to_bytes(4, "big") + data))
    except PeerError:
        return
