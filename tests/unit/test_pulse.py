"""How soon silence counts, by what carries the link."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from taskmessenger.net.transport import SILENT_DEAD_AFTER, SILENT_HEARTBEAT, pulse

heartbeats = st.floats(0.01, 1e5)


def test_where_the_system_tells_of_a_death_the_settings_hold() -> None:
    assert pulse("tcp", 5.0, 15.0) == pulse("unix", 5.0, 15.0) == (5.0, 15.0)


def test_where_nothing_tells_of_a_death_silence_is_noticed_sooner() -> None:
    assert pulse("zt", 5.0, 15.0) == (SILENT_HEARTBEAT, SILENT_DEAD_AFTER)


@given(heartbeats, st.floats(2.0, 100.0))
def test_there_are_always_two_signs_of_life_in_the_time_that_silence_may_last(
    beat: float, times: float
) -> None:
    heartbeat, dead_after = pulse("zt", beat, beat * times)
    assert dead_after >= 2 * heartbeat
    assert heartbeat <= beat
    assert dead_after <= beat * times
