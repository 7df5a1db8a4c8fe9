"""The invite string: what it survives, what it finds wrong, and what it never shows."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from taskmessenger.core.errors import InviteError, UsageError
from taskmessenger.net.security import crockford, invites
from taskmessenger.net.security.endpoints import (
    TcpEndpoint,
    ZeroTierEndpoint,
    pack_endpoint,
    unpack_endpoints,
)
from taskmessenger.net.security.invites import Invite, decode, encode, redact

NOW = 1_800_000_000.0
SECRET = bytes(range(0xE0, 0xF0))


def an_invite(**changes: object) -> Invite:
    fields: dict[str, object] = {
        "id": "7F3KQ9ZD",
        "secret": SECRET,
        "ca_hash": bytes(range(16)),
        "endpoints": (TcpEndpoint("203.0.113.7", 7711),),
        "expires_at": int(NOW) + 900,
    }
    return Invite(**(fields | changes))  # type: ignore[arg-type]


def bare(text: str) -> str:
    return text[len("tm1-") :].replace("-", "")


def reseal(symbols: list[int]) -> str:
    """An invite with a right length and check around a body of one's own."""
    count = len(symbols) + 4
    symbols[8:10] = [count >> 5, count & 31]
    return "tm1-" + crockford.text_of(symbols + invites._check(symbols))


ports = st.integers(1, 65535)
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){1,3}", fullmatch=True)
tcp = st.builds(
    TcpEndpoint, st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), names), ports
)
zerotier = st.builds(
    ZeroTierEndpoint,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**40 - 1),
    ports,
    st.binary(max_size=90),
)
any_invite = st.builds(
    Invite,
    id=st.text(crockford.ALPHABET, min_size=8, max_size=8),
    secret=st.binary(min_size=16, max_size=16),
    ca_hash=st.binary(min_size=16, max_size=16),
    endpoints=st.lists(tcp | zerotier, min_size=1, max_size=4).map(tuple),
    expires_at=st.integers(int(NOW) + 1, 2**32 - 1),
    role=st.sampled_from(("worker", "client", "operator")),
    approve=st.booleans(),
    ephemeral=st.booleans(),
)


@given(any_invite)
def test_what_was_encoded_is_decoded(invite: Invite) -> None:
    assert decode(encode(invite), NOW) == invite


def test_an_invite_is_one_short_line_that_begins_with_its_public_id() -> None:
    text = encode(an_invite())
    assert re.fullmatch(r"tm1-([0-9A-HJKMNP-TV-Z]{5}-)+[0-9A-HJKMNP-TV-Z]{1,5}", text)
    assert bare(text).startswith("7F3KQ9ZD")
    assert 90 <= len(text) <= 160


@pytest.mark.parametrize(
    "retyped",
    [
        str.lower,
        lambda text: f"\n  {text}\n",
        lambda text: text.replace("-", " "),
        lambda text: text.replace("-", ""),
        lambda text: text.replace("-", "-\n> ".replace("> ", "")),
        lambda text: text.replace("-", "\u2013"),
        lambda text: "tml-" + text[4:].replace("0", "O").replace("1", "l"),
        lambda text: text.replace("1", "I").replace("0", "o"),
        lambda text: "\ufeff" + text + "\u200b",
    ],
)
def test_an_invite_survives_how_people_copy_it(retyped) -> None:
    invite = an_invite(ca_hash=bytes.fromhex("00108421084210842108421084210842"))
    assert decode(retyped(encode(invite)), NOW) == invite


@given(any_invite, st.data())
def test_any_one_wrong_symbol_is_found(invite: Invite, data: st.DataObject) -> None:
    text = bare(encode(invite))
    at = data.draw(st.integers(0, len(text) - 1))
    wrong = data.draw(st.sampled_from(crockford.ALPHABET.replace(text[at], "")))
    with pytest.raises(InviteError):
        decode("tm1-" + text[:at] + wrong + text[at + 1 :], NOW)


@given(any_invite, st.data())
def test_two_neighbours_swapped_are_found(invite: Invite, data: st.DataObject) -> None:
    text = bare(encode(invite))
    at = data.draw(st.integers(0, len(text) - 2))
    if text[at] != text[at + 1]:
        with pytest.raises(InviteError):
            decode("tm1-" + text[:at] + text[at + 1] + text[at] + text[at + 2 :], NOW)


@given(any_invite, st.data())
def test_a_cut_at_any_place_is_called_a_cut(invite: Invite, data: st.DataObject) -> None:
    text = encode(invite)
    whole = bare(text)
    kept = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(InviteError, match="cut short"):
        decode("tm1-" + whole[:kept], NOW)


@given(st.text(max_size=200))
@example("tm1-")
@example("tm1")
@example("tm1-" + "0" * 200)
@example("tm9999999999")
def test_no_text_is_answered_with_anything_but_a_sentence(text: str) -> None:
    with pytest.raises(InviteError) as refused:
        decode(text, NOW)
    assert "\n" not in str(refused.value)


@given(st.text("tm1-0O9Zz \n", max_size=200).map(lambda text: "tm1-" + text))
def test_no_text_like_an_invite_is_answered_with_anything_but_a_sentence(text: str) -> None:
    with pytest.raises(InviteError):
        decode(text, NOW)


def problems() -> dict[str, str]:
    text = encode(an_invite())
    whole = bare(text)
    return {
        "expired": encode(an_invite(expires_at=int(NOW) - 600)),
        "cut short": text[:60],
        "mistyped": "tm1-" + ("8" if whole[30] != "8" else "9").join((whole[:30], whole[31:])),
        "version 2": "tm2-" + whole,
        "not an invite": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
    }


def test_each_way_to_be_wrong_has_a_sentence_of_its_own() -> None:
    said = {}
    for expected, text in problems().items():
        with pytest.raises(InviteError, match=expected) as refused:
            decode(text, NOW)
        said[expected] = str(refused.value)
        assert refused.value.exit_code == 4
        assert ": " in said[expected], "the cure follows the colon"
        assert text not in said[expected]
    assert len(set(said.values())) == 5


def test_an_expired_invite_says_how_long_ago() -> None:
    with pytest.raises(InviteError, match="10 min ago by the clock of this machine"):
        decode(encode(an_invite(expires_at=int(NOW))), NOW + 600)


@pytest.mark.parametrize("at", [8, 9])
def test_a_wrong_symbol_in_the_length_is_a_typing_error_not_a_cut(at: int) -> None:
    whole = bare(encode(an_invite()))
    for wrong in crockford.ALPHABET.replace(whole[at], ""):
        with pytest.raises(InviteError, match="mistyped"):
            decode("tm1-" + whole[:at] + wrong + whole[at + 1 :], NOW)


def test_a_group_too_many_is_a_typing_error() -> None:
    with pytest.raises(InviteError, match="mistyped"):
        decode(encode(an_invite()) + "-7F3KQ", NOW)


def test_endpoints_of_a_later_version_are_skipped() -> None:
    known = TcpEndpoint("203.0.113.7", 7711)
    data = bytes((9, 3)) + b"abc" + pack_endpoint(known) + bytes((200, 0))
    assert unpack_endpoints(data, 3) == (known,)


def test_an_invite_with_only_later_endpoints_asks_for_an_update() -> None:
    body = SECRET + bytes(16) + (2**32 - 1).to_bytes(4, "big") + bytes((0, 1, 99, 2, 1, 1))
    head = [*crockford.values("7F3KQ9ZD"), 0, 0]
    with pytest.raises(InviteError, match="does not know: update"):
        decode(reseal(head + crockford.from_bytes(body)), NOW)


def test_a_role_of_a_later_version_asks_for_an_update() -> None:
    body = (
        SECRET
        + bytes(16)
        + (2**32 - 1).to_bytes(4, "big")
        + bytes((3, 1))
        + pack_endpoint(TcpEndpoint("a.b", 1))
    )
    head = [*crockford.values("7F3KQ9ZD"), 0, 0]
    with pytest.raises(InviteError, match=r"a role .* update"):
        decode(reseal(head + crockford.from_bytes(body)), NOW)


def test_bytes_behind_the_endpoints_are_left_to_later_versions() -> None:
    invite = an_invite()
    body = crockford.to_bytes(crockford.values(bare(encode(invite)))[10:-4])
    head = [*crockford.values(invite.id), 0, 0]
    assert decode(reseal(head + crockford.from_bytes(body + b"later")), NOW) == invite


@pytest.mark.parametrize("name", [b"a b.c", b"host\x1b[2J", b"-x", b"", b"a/b"])
def test_a_host_name_that_could_do_harm_is_not_taken(name: bytes) -> None:
    assert unpack_endpoints(bytes((3, 2 + len(name))) + b"\x1e\x1f" + name, 1) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoints": ()}, "1 to 4 endpoints"),
        ({"endpoints": (TcpEndpoint("a.b", 1),) * 5}, "1 to 4 endpoints"),
        ({"endpoints": (TcpEndpoint("fe80::1%eth0", 1),)}, "zone"),
        ({"endpoints": (TcpEndpoint("h\u00f6st", 1),)}, "ASCII"),
        ({"endpoints": (TcpEndpoint("a.b", 0),)}, "port"),
        ({"endpoints": (TcpEndpoint("a.b", 65536),)}, "port"),
        ({"endpoints": (ZeroTierEndpoint(2**64, 1, 1),)}, "16 hex digits"),
        ({"endpoints": (ZeroTierEndpoint(1, 1, 1, bytes(250)),)}, "too long"),
        ({"endpoints": (ZeroTierEndpoint(1, 1, 1, bytes(240)),) * 4}, "fewer"),
        ({"role": "boss"}, "worker, client, operator"),
        ({"expires_at": 2**32}, "2106"),
        ({"secret": b"short"}, "16 bytes"),
        ({"id": "short"}, "8 characters"),
        ({"id": "UUUUUUUU"}, "8 characters"),
    ],
)
def test_what_does_not_fit_into_an_invite_is_said_when_it_is_made(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        encode(an_invite(**changes))


def test_an_invite_never_shows_its_secret() -> None:
    invite = an_invite()
    shown = f"{invite} {invite!r} {invite!s} {[invite]} {{}}".format(invite)
    assert invite.id in shown
    for form in (repr(SECRET)[2:-1], SECRET.hex(), "secret"):
        assert form not in shown


def test_a_hashed_secret_is_bound_to_its_invite() -> None:
    kept = invites.hash_secret("7F3KQ9ZD", SECRET)
    assert SECRET not in kept
    assert invites.secret_fits("7F3KQ9ZD", SECRET, kept)
    assert not invites.secret_fits("7F3KQ9ZE", SECRET, kept)
    assert not invites.secret_fits("7F3KQ9ZD", bytes(16), kept)


def test_new_secrets_and_ids_differ() -> None:
    assert len({invites.new_secret() for _ in range(50)}) == 50
    assert len({invites.new_id() for _ in range(50)}) == 50
    assert all(len(invites.new_secret()) == 16 for _ in range(5))


@pytest.mark.parametrize(
    "written",
    [
        str,
        str.lower,
        repr,
        lambda text: text.replace("-", " - "),
        lambda text: text.replace("-", "-\n"),
        lambda text: repr(text.replace("-", "-\n")),
        lambda text: text[:4] + text[4:].replace("-", " "),
        lambda text: text[:50],
        lambda text: text + " " + text,
        lambda text: f'{{"invite": "{text}"}}',
        lambda text: f"--join={text}",
    ],
)
def test_an_invite_is_blanked_out_of_any_text(written) -> None:
    text = encode(an_invite())
    blanked = redact(f"joining with {written(text)}; trying again")
    assert "tm1-[redacted]" in blanked
    assert blanked.startswith("joining with ")
    secret_part = bare(text)[10:36]
    for at in range(len(secret_part) - 5):
        assert secret_part[at : at + 6].lower() not in re.sub(r"[\s\-]", "", blanked).lower()


@pytest.mark.parametrize(
    "text",
    ["", "nothing here", "an invite begins with `tm1-`", "invite tm1-7F3KQ is public", "tm1-[redacted]"],
)
def test_text_without_a_secret_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_words_behind_a_blanked_invite_stay() -> None:
    assert (
        redact(f"joining with {encode(an_invite())} at tcp://a:1")
        == "joining with tm1-[redacted] at tcp://a:1"
    )


@given(any_invite, st.text(max_size=30), st.text(max_size=30))
def test_blanking_leaves_no_group_of_the_secret(invite: Invite, before: str, after: str) -> None:
    text = encode(invite)
    assert text not in redact(before + text + after)
    assert text[20:44] not in redact(before + text + after)


def test_reading_invites_loads_nothing_heavy() -> None:
    probe = (
        "import sys, taskmessenger.net.security.invites;"
        "sys.exit(any(m in sys.modules for m in ('cryptography', 'anyio', 'msgspec', 'ssl', 'asyncio')))"
    )
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
