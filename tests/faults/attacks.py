"""The attacks of a hostile peer, a stranger, a local user and a failing machine, by the tests that play them.

Each row is one attack of those that were tried on this program; its tests try it with values of their own.
"""

from __future__ import annotations

PROGRAMME = "faults/test_programme"


def _faults(*numbers: str) -> dict[str, list[str]]:
    return {PROGRAMME: [f"test_guarantees_hold_whatever_breaks[{number}]" for number in numbers]}


ATTACKS: dict[str, tuple[str, dict[str, list[str]]]] = {
    "A1": ("manager and workers are killed and stopped at any moment; keys are sent again", {
        **_faults("F1", "F4", "F41"),
        "integration/test_fleet_basics": ["test_keys_make_a_submission_safe_to_repeat_over_a_restart"],
    }),
    "A2": ("the disk is filled from outside, the manager killed and started on it", {
        **_faults("F7"),
        "integration/test_sqlite_faults": [
            "test_a_manager_starts_on_a_full_disk",
            "test_of_commits_that_wait_together_only_the_one_too_large_is_refused",
        ],
    }),
    "A3": ("two managers of one home, one of them by another way to it", {
        **_faults("F11"),
        "e2e/test_hostile_machine": ["test_a_second_manager_by_another_way_to_the_same_home_is_refused"],
    }),
    "A4": ("a database of a newer version", {
        "e2e/test_cli_refusals": ["test_a_database_of_a_newer_version_is_left_alone"],
        "integration/test_sqlite_files": ["test_a_newer_database_is_refused_and_left_alone"],
    }),
    "A5": ("files of values are cut, damaged or removed", {
        "e2e/test_damaged_payload": ["test_a_damaged_payload_fails_its_task_and_leaves_the_others_alone"],
        "integration/test_sqlite_large": [
            "test_a_damaged_value_is_named_with_its_task_and_others_are_read",
            "test_files_that_are_lost_cost_their_values_only",
        ],
    }),
    "A6": ("the WAL is cut, emptied or removed after a kill", {
        "integration/test_sqlite_gone": [
            "test_what_is_gone_is_told_and_nothing_starts",
            "test_an_honest_end_of_any_kind_is_no_loss",
        ],
    }),
    "A7": ("the database is damaged, emptied or an older one", {
        "e2e/test_gone": ["test_what_is_gone_is_told_in_one_line_and_accepted_with_a_flag"],
        "integration/test_sqlite_gone": [
            "test_an_older_copy_of_the_database_alone_is_noticed",
            "test_what_is_gone_can_be_accepted_once_and_begins_a_new_epoch",
        ],
        "integration/test_sqlite_files": ["test_a_damaged_database_is_found_after_a_crash"],
    }),
    "A8": ("the authority is gone", {
        "e2e/test_gone": ["test_what_is_gone_is_told_in_one_line_and_accepted_with_a_flag"],
        "integration/test_fleet_certificates": [
            "test_a_manager_whose_authority_is_gone_does_not_start_another_fleet",
        ],
    }),
    "A9": ("data of an older moment are put back while workers keep results", {
        "e2e/test_backup": ["test_a_result_of_the_time_that_was_lost_is_not_that_of_a_new_task"],
        "integration/test_fleet_restored": [
            "test_a_result_of_the_time_that_was_lost_is_nobodys",
            "test_a_task_that_both_lives_know_is_run_anew_for_the_new_one",
            "test_what_runs_when_the_data_are_put_back_is_ended_and_its_result_is_dropped",
            "test_whoever_knows_a_start_that_the_data_do_not_know_begins_a_new_epoch",
        ],
    }),
    "A10": ("the clock is far behind at a start, and jumps", {
        **_faults("F40"),
        "e2e/test_hostile_machine": ["test_a_clock_that_is_far_behind_is_named_with_the_cure"],
    }),
    "A11": ("the manager has too little memory for what it is sent", {
        "integration/test_memory_limit": ["test_a_manager_without_memory_serves_or_ends"],
        "integration/test_vitals": [
            "test_a_loop_that_stands_still_ends_the_process_which_says_where_it_stands",
            "test_a_manager_that_greets_nobody_ends",
            "test_want_of_memory_is_forgiven_once",
        ],
    }),
    "A12": ("few files may be open, a crowd of strangers comes, a large payload is handed in", {
        "integration/test_hostile_crowds": ["test_few_descriptors_and_a_crowd_end_no_manager"],
        "integration/test_sqlite_descriptors": [
            "test_a_large_value_waits_for_a_file_and_is_stored_when_there_is_one",
            "test_a_large_value_that_cannot_be_read_now_is_not_damaged",
            "test_a_store_that_cannot_be_opened_for_that_is_busy",
        ],
    }),
    "A13": ("a worker asks, submits, commands and invites", {
        "integration/test_hostile_workers": [
            "test_a_forged_message_ends_the_session_and_changes_nothing",
            "test_nothing_counts_that_is_said_before_the_hello",
        ],
        "integration/test_hostile_strangers": ["test_nobody_comes_in_without_the_right_certificate"],
    }),
    "A14": ("a client does what only operators may", {
        "integration/test_hostile_strangers": ["test_a_client_has_the_rights_of_a_client"],
        "integration/test_hostile_clients": ["test_a_client_that_plays_somebody_else_is_cut_off"],
        "e2e/test_backup": ["test_only_who_is_at_the_machine_may_have_a_file_written"],
    }),
    "A15": ("outcomes of others' tasks, of attempts to come, of nothing, garbled", {
        "integration/test_hostile_workers": [
            "test_a_forged_message_ends_the_session_and_changes_nothing",
            "test_a_garbled_message_ends_the_session",
            "test_a_result_of_somebody_elses_task_is_refused",
            "test_a_result_that_comes_twice_counts_once",
        ],
    }),
    "A16": ("outcomes without end of what has ended, by a worker that never held it", {
        "integration/test_hostile_workers": [
            "test_endless_outcomes_of_what_has_ended_are_counted_and_change_nothing",
        ],
    }),
    "A17": ("small messages, beats, sessions and crimes without end", {
        "integration/test_hostile_floods": ["test_small_messages_without_end_leave_the_others_their_turn"],
        "integration/test_hostile_workers": [
            "test_a_flood_of_beats_makes_no_buffer_grow",
            "test_word_of_progress_is_kept_within_bounds",
        ],
        "integration/test_hostile_crowds": [
            "test_who_breaks_the_protocol_again_and_again_is_kept_out_shown_and_revoked",
        ],
        "integration/test_fleet_audit": ["test_what_one_member_repeats_is_counted_and_takes_nobodys_place"],
    }),
    "A18": ("large messages of a worker and of a client that the protocol allows", {
        "integration/test_hostile_floods": [
            "test_endless_columns_of_a_worker_hold_up_nobody",
            "test_endless_tasks_of_a_client_hold_up_nobody",
        ],
        "unit/test_bounds": ["test_columns_of_a_worker_fit_into_a_frame_or_are_not_even_held"],
    }),
    "A19": ("what the fleet does meanwhile", {
        "integration/test_hostile_floods": [
            "test_endless_columns_of_a_worker_hold_up_nobody",
            "test_small_messages_without_end_leave_the_others_their_turn",
        ],
    }),
    "A20": ("messages that are begun in many sessions and never finished", {
        "integration/test_hostile_floods": [
            "test_messages_that_are_never_finished_take_bounded_memory_and_give_it_back",
        ],
        "unit/test_bounds": ["test_a_message_that_does_not_go_on_ends_the_session"],
    }),
    "A21": ("large answers that are asked for and never read", {
        "integration/test_hostile_floods": ["test_answers_that_nobody_reads_take_bounded_memory"],
        "integration/test_hostile_clients": [
            "test_who_asks_and_does_not_read_is_cut_off_with_a_bounded_buffer",
        ],
    }),
    "A22": ("one certificate opens all sessions", {
        "integration/test_hostile_crowds": [
            "test_one_certificate_takes_nobody_elses_place",
            "test_when_all_sessions_are_taken_operators_still_come_in_and_end_them",
        ],
    }),
    "A23": ("a worker takes all it can and does nothing", {
        "integration/test_hostile_hoarders": [
            "test_a_liar_that_comes_first_and_takes_all_it_can_gets_little",
            "test_a_liar_alone_does_not_keep_tasks_from_their_end",
            "test_a_worker_that_goes_on_lying_is_put_in_quarantine_and_shown",
        ],
    }),
    "A24": ("tasks of thousands of kinds that nobody offers", {
        "integration/test_hostile_clients": [
            "test_of_endless_kinds_a_few_are_told_and_the_rest_is_counted",
        ],
        "unit/test_pool_assign": [
            "test_kinds_that_nobody_offers_cost_a_batch_nothing",
            "test_no_more_kinds_wait_than_can_be_looked_after",
        ],
    }),
    "A25": ("questions and cancels about as many tasks as one message may name", {
        "integration/test_hostile_floods": ["test_questions_about_all_that_one_message_names_hold_up_nobody"],
        "integration/test_hostile_clients": [
            "test_a_command_about_many_tasks_is_decided_on_in_slices",
            "test_a_slow_watcher_is_told_less_and_fetches_the_rest",
        ],
    }),
    "A26": ("filters with too much, with SQL, and with what is no number", {
        "integration/test_hostile_clients": [
            "test_what_makes_no_sense_is_refused_in_words_and_the_session_goes_on",
            "test_what_is_only_odd_is_answered",
        ],
        "contract/test_task_filters": ["test_what_cannot_be_answered_is_refused"],
        "unit/test_query_bounds": [
            "test_what_is_at_the_limit_is_answered_and_what_is_beyond_it_is_not",
            "test_text_that_is_none_is_refused",
            "test_what_cannot_be_answered_is_named",
        ],
    }),
    "A27": ("groups with empty kinds, escapes, doubled keys, no msgpack, too many tasks", {
        "integration/test_hostile_clients": [
            "test_what_makes_no_sense_is_refused_in_words_and_the_session_goes_on",
            "test_a_group_that_lies_about_its_columns_is_garbage",
        ],
        "contract/test_runtimes": ["test_a_payload_that_is_no_value_never_reaches_the_handler"],
    }),
    "A28": ("results that are too large, no msgpack, nested without end, or steer a terminal", {
        "integration/test_hostile_workers": [
            "test_what_is_no_result_is_a_failure_for_good",
            "test_errors_of_any_length_are_kept_short",
            "test_escape_sequences_of_a_worker_reach_no_terminal",
        ],
        "e2e/test_cli": ["test_text_of_peers_cannot_speak_to_a_terminal"],
    }),
    "A29": ("half-open connections from one address, also from that of an honest one", {
        "integration/test_hostile_crowds": [
            "test_a_crowd_behind_the_address_of_an_honest_one_keeps_it_out_no_more",
        ],
        "integration/test_hostile_strangers": ["test_one_address_may_not_take_all_the_room"],
    }),
    "A30": ("half-open connections from many addresses", {
        "integration/test_hostile_crowds": ["test_crowds_from_many_addresses_keep_no_honest_one_out"],
        "integration/test_hostile_strangers": [
            "test_a_thousand_slow_strangers_keep_no_worker_from_joining",
        ],
        "unit/test_places": [
            "test_an_address_of_ipv6_stands_for_its_network",
            "test_members_take_no_place_of_an_operator_nor_of_this_machine",
        ],
    }),
    "A31": ("handshakes without a certificate, as many as go", {
        "integration/test_hostile_crowds": [
            "test_handshakes_without_a_certificate_without_end_keep_no_honest_one_out",
        ],
    }),
    "A32": ("older TLS, HTTP, SSH, random bytes, silence", {
        "integration/test_hostile_strangers": [
            "test_another_protocol_is_closed_soon_without_a_traceback",
            "test_slow_strangers_are_cut_off_in_time",
        ],
        "integration/test_tls_handshake": ["test_older_tls_is_refused"],
    }),
    "A33": ("guesses of the secret of an invite", {
        "integration/test_hostile_crowds": ["test_guesses_of_a_secret_wait_longer_and_tell_nothing"],
        "unit/test_enrol": [
            "test_an_unknown_id_and_a_wrong_secret_look_alike",
            "test_guessing_is_slowed_down_and_others_are_not",
        ],
    }),
    "A34": ("any umask", {
        "e2e/test_hostile_machine": ["test_nothing_can_be_read_by_others_whatever_the_umask"],
    }),
    "A35": ("another user at the local socket", {
        "unit/test_trust": [
            "test_only_the_same_user_and_root_may_come_in",
            "test_the_kernel_says_who_is_at_the_other_end_of_a_unix_socket",
        ],
        "integration/test_unix_socket": ["test_a_directory_open_to_others_is_refused_with_the_cure"],
    }),
    "A36": ("another user's socket where the manager of a deep home should have its own", {
        "unit/test_trust": ["test_nothing_is_said_to_a_manager_of_another_user"],
    }),
    "A37": ("kinds in a folder that others may write in, or are of another user", {
        "unit/test_registry": [
            "test_a_file_that_others_may_write_is_refused",
            "test_a_file_of_another_user_is_refused",
            "test_a_folder_that_others_may_write_in_is_refused_and_so_is_one_above_it",
            "test_what_a_kind_imports_from_beside_itself_is_looked_at_in_the_same_way",
        ],
    }),
    "A38": ("a home that others may write in, or replace", {
        "e2e/test_hostile_machine": ["test_a_home_that_others_may_write_in_is_refused"],
    }),
    "A39": ("processes of tasks that hear no signal, stop or kill themselves", {
        "e2e/test_hostile_tasks": ["test_a_process_that_does_not_want_to_end_is_ended_in_time"],
    }),
    "A40": ("what a task starts tries to outlive it: sessions of its own, clean environments, double forks", {
        "integration/test_families": [
            "test_when_the_end_of_a_task_is_told_nothing_that_it_started_runs",
            "test_ending_a_task_reaches_whatever_it_started",
            "test_nothing_outlives_a_worker_that_is_killed",
            "test_what_is_left_when_guard_and_worker_are_killed_is_ended_at_the_next_start",
        ],
        "e2e/test_left_behind": ["test_no_process_that_a_task_started_outlives_a_worker_that_is_killed"],
    }),
    "A41": ("a task changes the process that it runs in", {
        "integration/test_process_runtime": [
            "test_no_task_finds_what_another_did_to_its_process",
            "test_a_process_runs_tasks_of_one_kind_only",
        ],
    }),
    "A42": ("tasks in threads leave, recurse, take all memory, return and raise what cannot be sent", {
        "e2e/test_hostile_tasks": [
            "test_whatever_a_task_in_a_thread_does_is_an_outcome_and_the_worker_lives",
        ],
        "contract/test_task_output": ["test_closed_or_replaced_streams_are_those_of_one_task_at_most"],
    }),
    "A43": ("a thread that never ends", {
        "contract/test_runtimes": [
            "test_a_thread_that_does_not_stop_is_reported_and_replaced",
            "test_too_many_stuck_threads_make_the_worker_say_so",
        ],
    }),
    "A44": ("an async task that swallows its end", {
        "contract/test_job_endings": [
            "test_a_cancel_that_is_swallowed_is_no_success",
            "test_a_time_limit_that_is_swallowed_is_no_success",
            "test_an_async_handler_that_does_not_end_is_reported_and_replaced",
            "test_too_many_async_handlers_that_do_not_end_make_the_worker_say_so",
        ],
        "e2e/test_task_code": ["test_a_worker_ends_whatever_its_tasks_still_do"],
    }),
    "A45": ("a result into a pipe that is read slowly, with standard output unbuffered", {
        "e2e/test_outlet": ["test_a_large_result_arrives_whole_at_a_slow_reader"],
    }),
    "A46": ("code of others in what is read: none of the ways is in the program; recordings are bounded", {
        "architecture/test_imports": ["test_no_way_to_run_what_was_read_is_in_the_program"],
        "unit/test_recording": ["test_any_byte_may_be_wrong_and_nothing_worse_than_a_gap_comes_of_it"],
    }),
}  # fmt: skip
"""By number, in the order in which they were first tried: what happens, and the tests."""
