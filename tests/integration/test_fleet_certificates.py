"""Certificates while a fleet runs: renewed by the manager for itself and for others, and when that fails."""

from __future__ import annotations

import logging
import shutil
import ssl
from time import time

import anyio
import pytest
from anyio.streams.tls import TLSStream
from taskmessenger.core.errors import ConfigError
from taskmessenger.core.lifecycle import TaskState
from taskmessenger.net import messages as m
from taskmessenger.net.security import identity as identities
from taskmessenger.net.security.certificates import Certificate
from taskmessenger.net.security.identity import Identity
from taskmessenger.net.security.names import MANAGER_NAME
from taskmessenger.net.security.tls import client_context, peer_certificate
from taskmessenger.roles import manager as managers
from taskmessenger.roles import worker as workers

from tests.support.fleet import Fleet, a_fleet, results, running, submit
from tests.support.hostile import raw
from tests.support.runtimes import until


async def certificate_of_manager(fleet: Fleet, member: Identity) -> Certificate:
    """As somebody sees it who connects now."""
    stream = await raw(fleet.address)
    try:
        context: ssl.SSLContext = client_context(member)
        secure = await TLSStream.wrap(
            stream, hostname=MANAGER_NAME, ssl_context=context, standard_compatible=False
        )
        return Certificate.of(peer_certificate(secure))
    finally:
        await anyio.aclose_forcefully(stream)


async def test_a_manager_that_runs_for_long_renews_its_own_certificate(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(managers, "RENEW_SECONDS", 0.05)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        node = await fleet.worker()
        (task,) = await submit(remote, "hold", 1)
        await running(fleet, task)
        member = await fleet.member(peer_id="w-moss-0002")
        first = await certificate_of_manager(fleet, member)
        with anyio.fail_after(30):
            while (second := await certificate_of_manager(fleet, member)).serial == first.serial:
                await anyio.sleep(0.02)
        assert second.not_after >= first.not_after > time()
        node.puppet.finish(task)
        found = (await results(remote, [task]))[task]
        assert (found.state, found.attempt) == (TaskState.SUCCEEDED, 1), "sessions that stand go on"


async def test_a_manager_that_cannot_renew_its_certificate_says_so_and_tries_again(
    tmp_path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(managers, "RENEW_SECONDS", 0.05)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        member = await fleet.member()
        folder = fleet.manager.authority.issue_manager(time()).parent
        away = folder.with_name("away")
        folder.rename(away)

        def complaints() -> list[str]:
            return [r.message for r in caplog.records if "certificate cannot be renewed now" in r.message]

        await until(complaints)
        assert "No such file or directory" in complaints()[0]
        kept = await certificate_of_manager(fleet, member)
        assert kept.not_after > time(), "the one it has is still good"
        await remote.status()
        away.rename(folder)
        with anyio.fail_after(30):
            while (await certificate_of_manager(fleet, member)).serial == kept.serial:
                await anyio.sleep(0.02)
        assert not [r for r in caplog.records if r.exc_info]


async def test_a_renewed_certificate_that_a_worker_cannot_keep_changes_nothing(tmp_path, caplog) -> None:
    async with a_fleet(tmp_path) as fleet:
        node = await fleet.worker()
        before = node.worker.identity
        connected = node.worker.connected
        assert connected is not None
        key = node.worker._renewal_key = identities.load_key(before)
        away = before.folder.with_name("away")
        before.folder.rename(away)
        before.folder.write_text("in the way")
        connected.session.send(m.RenewMe(identities.make_csr(key)))
        await until(lambda: [r for r in caplog.records if "renewed certificate cannot be kept" in r.message])
        assert node.worker.identity is before
        assert node.worker.connected is connected
        before.folder.unlink()
        away.rename(before.folder)
        assert identities.load(before.folder, "worker") == before


async def test_a_worker_whose_key_cannot_be_read_says_so_and_works_on(tmp_path, monkeypatch, caplog) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(workers, "STEWARD_SECONDS", 0.05)
    monkeypatch.setattr(workers, "renewal_due", lambda *_: True)
    async with a_fleet(tmp_path) as fleet, fleet.operator() as remote:
        member = await fleet.member()
        hidden = member.key_path.with_name("hidden")
        node = await fleet.worker(identity=member)
        await until(lambda: [r for r in caplog.records if "the certificate was renewed" in r.message])
        member.key_path.rename(hidden)
        node.worker._ask_again = 0.0
        await until(lambda: [r for r in caplog.records if "the certificate cannot be renewed" in r.message])
        (said,) = {r.message for r in caplog.records if "the certificate cannot be renewed" in r.message}
        assert "identity.pem: is gone or damaged: run `taskmessenger --role worker --no-ui --join -`" in said
        (task,) = await submit(remote, "echo", 1)
        assert (await results(remote, [task]))[task].state == TaskState.SUCCEEDED


async def test_a_manager_whose_authority_is_gone_does_not_start_another_fleet(tmp_path) -> None:
    """Its members would be strangers to it."""
    async with a_fleet(tmp_path) as fleet:
        folder = fleet.manager.authority.issue_manager(time()).parent
        await fleet.stop()
        for file in folder.iterdir():
            if file.name.endswith(".pem"):
                file.write_bytes(b"garbage")
        with pytest.raises((ConfigError, BaseExceptionGroup)) as caught:
            await fleet.start()
        said = caught.value.exceptions[0] if isinstance(caught.value, BaseExceptionGroup) else caught.value
        assert isinstance(said, ConfigError)
        shutil.rmtree(folder)
