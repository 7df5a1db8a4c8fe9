"""Faults that are tests of their own, elsewhere: run by name, so that the table has their results.

`make test` runs them where they are; the programme's own test leaves them out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.faults.attacks import ATTACKS
from tests.support.chaos import Run

ROOT = Path(__file__).parents[2]
SAID = re.compile(r"(\d+) (passed|skipped|failed|error)")


@dataclass(frozen=True)
class Tests:
    """Some tests, as pytest names them. What of a run's size is in capitals goes into their environment."""

    nodes: tuple[str, ...]

    async def __call__(self, run: Run) -> None:
        size = {name: str(value) for name, value in run.size.items() if name.isupper()}
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *self.nodes]
        done = await anyio.run_process(
            command, check=False, cwd=ROOT, stderr=subprocess.STDOUT, env=os.environ | size
        )
        text = done.stdout.decode(errors="replace")
        counts = {word: int(count) for count, word in SAID.findall(text.splitlines()[-1])}
        run.figures |= {"tests": sum(counts.values())} | counts
        run.must(done.returncode == 0, text[-1_500:])
        run.must(counts.get("passed", 0) > 0, f"no test has run: {text[-500:]}")


_TESTS = {
    "F8": ("the disk fails at any call, under small and large values", {
        "integration/test_sqlite_faults": [
            "test_after_an_io_error_nothing_is_acknowledged_any_more",
            "test_an_io_error_of_any_call_loses_nothing_that_was_acknowledged",
            "test_a_checkpoint_that_fails_stops_the_store",
        ],
        "integration/test_sqlite_large_faults": ["test_after_an_io_error_nothing_is_acknowledged_any_more"],
    }),
    "F20": ("the link breaks after so many bytes, again and again", {
        "integration/test_fleet_links": ["test_a_link_that_breaks_at_any_byte_loses_nothing"],
        "integration/test_tcp_faults": [
            "test_a_reset_at_any_byte_gives_a_prefix_of_the_messages_and_a_broken_stream",
            "test_a_stream_that_ends_within_a_message_gives_only_whole_ones",
        ],
    }),
    "F21": ("one side vanishes without a word", {
        "integration/test_fleet_links": [
            "test_a_link_that_is_half_open_is_noticed_on_both_sides_and_resumed",
        ],
    }),
    "F22": ("nothing gets through, for less and for more than a lease", {
        "integration/test_fleet_links": [
            "test_a_partition_shorter_than_the_lease_repeats_nothing",
            "test_after_a_longer_partition_one_outcome_counts_and_the_late_one_is_counted",
            "test_a_worker_that_is_cut_off_stops_using_its_leases_before_they_run_out",
        ],
        "integration/test_tcp_faults": ["test_what_a_partition_holds_back_arrives_when_it_heals"],
    }),
    "F28": ("somebody asks for much and never reads", {
        "integration/test_hostile_clients": [
            "test_who_asks_and_does_not_read_is_cut_off_with_a_bounded_buffer",
            "test_a_slow_watcher_is_told_less_and_fetches_the_rest",
        ],
    }),
    "F29": ("another protocol is spoken on the port", {
        "integration/test_hostile_strangers": [
            "test_another_protocol_is_closed_soon_without_a_traceback",
            "test_tls_for_something_else_is_no_way_in",
        ],
        "integration/test_tls_handshake": ["test_older_tls_is_refused"],
    }),
    "F50": ("pause, resume, drain, cancel, retry and all else at random; I1 to I11 after every step", {
        "simulation/test_pool_machine": ["TestPoolMachine"],
    }),
    "F61": ("lengths of four thousand million", {
        "unit/test_messages": ["test_a_bomb_is_refused_without_taking_its_memory"],
        "unit/test_framing": ["test_a_length_bomb_is_refused_at_its_header_before_anything_is_held"],
    }),
    "F62": ("messages nested ever deeper", {
        "unit/test_messages": [
            "test_a_bomb_is_refused_without_taking_its_memory", "test_no_bytes_at_all_bring_it_down",
        ],
    }),
    "F63": ("a frame that claims more than it may", {
        "unit/test_framing": [
            "test_before_authentication_4_kib_are_the_limit_and_it_can_be_raised",
            "test_fragments_that_together_exceed_a_message_are_refused_at_the_header",
            "test_unfinished_messages_together_are_bounded",
        ],
        "integration/test_hostile_workers": ["test_a_frame_that_claims_too_much_is_cut_at_its_header"],
    }),
    "F64": ("results of others' tasks, of old attempts, twice, before hello, after goodbye", {
        "integration/test_hostile_workers": [
            "test_a_forged_message_ends_the_session_and_changes_nothing",
            "test_a_result_of_somebody_elses_task_is_refused",
            "test_a_result_that_comes_twice_counts_once",
            "test_nothing_counts_that_is_said_after_the_goodbye",
            "test_nothing_counts_that_is_said_before_the_hello",
        ],
        "unit/test_pool_fencing": [
            "test_a_forged_outcome_cuts_the_connection_and_changes_nothing",
            "test_a_result_after_expiry_changes_nothing_is_counted_and_acknowledged",
        ],
    }),
    "F65": ("a member or a crowd floods: columns, unfinished messages, unread answers, sessions, crimes", {
        "integration/test_hostile_floods": [
            "test_endless_columns_of_a_worker_hold_up_nobody",
            "test_endless_tasks_of_a_client_hold_up_nobody",
            "test_messages_that_are_never_finished_take_bounded_memory_and_give_it_back",
            "test_answers_that_nobody_reads_take_bounded_memory",
            "test_small_messages_without_end_leave_the_others_their_turn",
        ],
        "integration/test_hostile_crowds": [
            "test_one_certificate_takes_nobody_elses_place",
            "test_when_all_sessions_are_taken_operators_still_come_in_and_end_them",
            "test_who_breaks_the_protocol_again_and_again_is_kept_out_shown_and_revoked",
            "test_crowds_from_many_addresses_keep_no_honest_one_out",
            "test_a_crowd_behind_the_address_of_an_honest_one_keeps_it_out_no_more",
            "test_few_descriptors_and_a_crowd_end_no_manager",
        ],
        "integration/test_memory_limit": ["test_a_manager_without_memory_serves_or_ends"],
        "integration/test_sqlite_descriptors": [
            "test_a_large_value_waits_for_a_file_and_is_stored_when_there_is_one",
            "test_a_large_value_that_cannot_be_read_now_is_not_damaged",
        ],
    }),
    "F67": ("no certificate, a foreign, expired, revoked one, the wrong role", {
        "integration/test_hostile_strangers": [
            "test_nobody_comes_in_without_the_right_certificate",
            "test_the_managers_own_certificate_is_nobodys_way_in",
        ],
        "integration/test_tls_handshake": [
            "test_somebody_without_a_certificate_is_nobody",
            "test_a_certificate_that_is_not_good_is_refused_and_its_owner_learns_why",
            "test_revoked_unknown_and_wrong_role_pass_tls_and_are_refused_right_after",
            "test_a_revoked_member_cannot_come_back_on_an_old_session",
        ],
    }),
    "J2": ("a false manager asks for the secret of an invite", {
        "integration/test_fleet_joins": ["test_the_secret_is_not_shown_to_another_manager"],
        "integration/test_tls_join": ["test_a_false_manager_never_receives_the_secret"],
    }),
    "J3": ("a hundred race for an invite of one use", {
        "integration/test_fleet_joins": ["test_of_a_hundred_with_the_same_invite_exactly_one_joins"],
    }),
    "J4": ("invites that are used up, expired, revoked or garbled", {
        "e2e/test_cli_refusals": ["test_an_invite_that_cannot_be_used_says_why"],
        "integration/test_fleet_joins": ["test_what_is_wrong_with_an_invite_is_said_in_words"],
    }),
    "J5": ("a worker is revoked while it works", {
        "integration/test_fleet_joins": [
            "test_a_worker_that_is_revoked_while_it_works_is_out_at_once",
            "test_a_revoked_worker_that_reads_nothing_is_out_all_the_same",
        ],
    }),
}  # fmt: skip
ELSEWHERE = {
    number: (title, Tests(tuple(f"tests/{path}.py::{one}" for path, names in files.items() for one in names)))
    for number, (title, files) in (_TESTS | ATTACKS).items()
}
"""By the fault's number: what happens, and the tests."""
