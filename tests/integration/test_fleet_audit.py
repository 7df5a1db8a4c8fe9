"""Who did what is written down: each act once, in one chain, and not washed away by a member's flood."""

from __future__ import annotations

import os

import anyio
import pytest
from msgspec.structs import replace
from taskmessenger.core.errors import NotFound, Refused, TaskMessengerError
from taskmessenger.handle import Act, TaskQuery
from taskmessenger.handle.audit import AuditRow, broken
from taskmessenger.roles import audit as module
from taskmessenger.roles.audit import Actor

from tests.support.fleet import BOUND, a_fleet, submit


async def rows(fleet) -> list[AuditRow]:
    found = await fleet.manager.store.audit(0, 0.0)
    assert broken(found) == ""
    return found


async def test_each_act_of_an_operator_is_one_row_however_it_ends(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker()
        async with fleet.operator() as remote:
            await submit(remote, "unheard-of", 1, 2, 3)
            queued = TaskQuery(kinds=("unheard-of",))
            acts = {
                Act("pause", scope="all"): ("all", 0, "done"),
                Act("resume", scope="all"): ("all", 0, "done"),
                Act("limit", scope=node.id, number=1): (f"{node.id} 1", 0, "done"),
                Act("set_priority", ids=(1, 2), number=5): ("1 2 5", 2, "done"),
                Act("cancel", ids=(1,)): ("1", 1, "done"),
                Act("cancel", query=queued): ("", 2, "done"),
                Act("retry", ids=(999,)): ("999", 0, "refused: there is no task 999"),
                Act("pause", scope="everything"): ("everything", 0, "refused: `everything` is no scope"),
                Act("backup", scope=str(tmp_path / "b.tar")): (str(tmp_path / "b.tar"), 0, "done"),
                Act("set", scope="leases.ttl = 60"): ("leases.ttl = 60", 0, "done"),
                Act("set", scope="no.such = 60"): (
                    "no.such = 60",
                    0,
                    "refused: `no.such = 60` is no setting",
                ),
                Act("drain", scope=node.id, number=1): (f"{node.id} 1", 0, "done"),
                Act("revoke", scope=node.id): (node.id, 0, "done"),
            }
            for act, (what, count, outcome) in acts.items():
                before = (await rows(fleet))[-1].number
                if outcome == "done":
                    await remote.act(act)
                else:
                    with pytest.raises(TaskMessengerError):
                        await remote.act(act)
                (row,) = (await rows(fleet))[before:]
                assert (row.who, row.role) == ("local", "operator")
                assert row.origin.startswith(f"unix:// user {os.geteuid()} (")
                assert (row.verb, row.object, row.count) == (act.verb, what, count)
                assert row.outcome.startswith(outcome)
                assert bool(row.filter) == (act.query is not None)
            before = (await rows(fleet))[-1].number
            made = await remote.make_invite(2, 60.0, "client")
            await remote.revoke_invite(made.invite.id)
            with pytest.raises(NotFound):
                await remote.revoke_invite("XXXXXXXX")
            new = (await rows(fleet))[before:]
            assert [row.verb for row in new] == ["invite", "revoke invite", "revoke invite"]
            assert [made.invite.id in row.object for row in new] == [True, True, False]
            assert new[2].outcome.startswith("refused: ")


async def test_who_joins_is_a_row_of_the_same_commit(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        await fleet.member("worker", "w-moss-0001")
        (joined,) = [row for row in await rows(fleet) if row.verb == "join"]
        assert (joined.who, joined.role) == ("w-moss-0001", "worker")


async def test_what_one_member_repeats_is_counted_and_takes_nobodys_place(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "FIRST_SPAN", 0.5)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    async with a_fleet(tmp_path) as fleet:
        member = await fleet.member("client", "c-fern-0001")
        async with fleet.client(member) as remote, fleet.operator() as operator:
            before = (await rows(fleet))[-1].number
            for number in range(200):
                with pytest.raises(Refused):
                    await remote.act(Act(f"made up {number}", scope="all"))
            await operator.act(Act("pause", scope="all"))
            found, told = [], 0
            with anyio.fail_after(BOUND):
                while told < 200:
                    await anyio.sleep(0.05)
                    found = (await rows(fleet))[before:]
                    told = sum(row.times for row in found if row.who == "c-fern-0001")
        assert told == 200
        assert len(found) < 15
        assert [row.verb for row in found if row.role == "operator"] == ["pause"]


async def test_many_members_that_do_much_cost_a_bounded_number_of_rows(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_FOLDS", 5)
    async with a_fleet(tmp_path) as fleet:
        before = (await rows(fleet))[-1].number
        for number in range(50):
            await fleet.manager.audit.record(Actor(f"c-{number}", "client"), "cancel", "1")
        await fleet.manager.audit.close()
        found = (await rows(fleet))[before:]
        assert len(found) == 7  # five, and one for all others at once, and one for how often that was
        assert sum(row.times for row in found) == 50


async def test_a_row_that_was_changed_is_noticed_whatever_was_changed(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:
        async with fleet.operator() as remote:
            await remote.act(Act("pause", scope="all"))
            await remote.act(Act("resume", scope="all"))
        whole = await rows(fleet)
    for field in AuditRow.__struct_fields__:
        value = getattr(whole[1], field)
        other = value + 1 if isinstance(value, int | float) else f"{value}0"
        changed = [whole[0], replace(whole[1], **{field: other}), *whole[2:]]
        assert broken(changed) != "", field
    assert "missing" in broken([whole[0], *whole[2:]])


async def test_settings_that_are_not_what_they_were_at_the_last_start_are_rows(tmp_path) -> None:
    async with a_fleet(tmp_path) as fleet:

        async def changes(after: int) -> dict[str, str]:
            new = [row for row in await rows(fleet) if row.number > after and row.verb == "set"]
            assert {row.who for row in new} <= {"manager"}
            return {row.object: row.outcome for row in new}

        first = await changes(0)
        assert first['name = "lab"'].startswith("done: it was ")
        assert not any("limits.outbox" in what for what in first), "what is as it comes is no change"
        last = (await rows(fleet))[-1].number
        await fleet.stop()
        fleet.config = replace(fleet.config, leases=replace(fleet.config.leases, ttl=9.0))
        await fleet.start()
        assert (await changes(last))["leases.ttl = 9.0"] == "done: it was 2.0"
        last = (await rows(fleet))[-1].number
        await fleet.kill()
        await fleet.start()
        assert await changes(last) == {}, "told once"
