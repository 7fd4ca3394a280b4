"""Faults of the processes that parse others' files, of links and of what is hidden."""

from __future__ import annotations

from tests.mutants.row import Mutant

TESTS = "tests/workers/test_parsers.py"
CALLS = (f"{TESTS}::test_a_parser_that_calls_something_else_ends",)
HARDENING = "tests/reliability/test_hardening.py"
FORBIDDEN = (f"{HARDENING}::test_the_filter_refuses_what_no_mirror_needs_and_nothing_else",)
RIGHTS = (f"{TESTS}::test_a_parser_has_no_rights_and_no_files",)

LINKS = ("tests/permissions/test_deceiving_links.py",)
PRIVATE = ("tests/permissions/test_private_proc.py",)
PARSERS = (
    Mutant(
        "links_of_any_mount",
        "fuse/object_links.py",
        "if way and way[-1].mount_id == mount and",
        "if way and",
        LINKS,
        "root empties a file of root's through a user's link",
    ),
    Mutant(
        "mounts_below_do_not_count",
        "fuse/object_links.py",
        "return not found.is_directory or",
        "return True or",
        LINKS,
        "root removes its own files below the root directory of a user's process",
    ),
    Mutant(
        "what_does_not_exist_is_left",
        "procfs/link_targets.py",
        "return not is_deleted(text)",
        "return False",
        LINKS,
        "root makes a file at a path that a user has chosen",
    ),
    Mutant(
        "links_lead_where_they_led",
        "fuse/object_links.py",
        "led = requester, found, ",
        "led = requester, Link(found.text), ",
        ("tests/fuse/test_object_links.py",),
        "a text is believed of another object than the one it led to",
    ),
    Mutant(
        "private_proc_ignored",
        "fuse/private_proc.py",
        'shares(tid, "mnt") and not self._has_source(tid):',
        'shares(tid, "mnt") and False:',
        PRIVATE,
        "a service sees the processes that its own /proc hides",
    ),
    Mutant(
        "masks_are_dropped",
        "fuse/boundary.py",
        'if name == "lookup" and self.keeps_mounted(arguments, error):',
        "if False:",
        ("tests/attack/test_mounts_below.py",),
        "a user takes off what root has mounted below the mirror",
    ),
    Mutant(
        "parser_without_filter",
        "workers/parser_process.py",
        "    seccomp.only_compute()\n",
        "    own_process.forbid_new_privileges()\n",
        CALLS,
        "whoever takes over a parser opens files and sockets",
    ),
    Mutant(
        "pipe_of_libfuse",
        "identity/seccomp.py",
        "os.O_CLOEXEC | os.O_NONBLOCK",
        "os.O_CLOEXEC",
        FORBIDDEN,
        "a mirror over /proc hangs for ever with libfuse 3.17 and later",
    ),
    Mutant(
        "pipe_of_newer_libfuse",
        "fuse/hardening.py",
        "return not found or int(found[1]) >= _LOOKS_AGAIN",
        "return bool(found) and int(found[1]) >= _LOOKS_AGAIN",
        ("tests/fuse/test_hardening.py",),
        "a mirror over /proc hangs for ever with libfuse 3.17 and later",
    ),
    Mutant(
        "names_without_a_namespace",
        "fuse/account_names.py",
        'return root == self._root and self._namespaces.shares(tid, "mnt")',
        "return root == self._root",
        ("tests/fuse/test_account_names.py",),
        "a container sees the names of this machine's accounts at its own numbers",
    ),
    Mutant(
        "parser_makes_code",
        "identity/seccomp.py",
        "_PROT_EXEC = 4",
        "_PROT_EXEC = 0",
        CALLS,
        "whoever takes over a parser brings code",
    ),
    Mutant(
        "parser_with_rights",
        "workers/parser_process.py",
        "    drop_all()\n",
        "    own_process.forbid_dumps()\n",
        RIGHTS,
        "hostile bytes are parsed with root's rights",
    ),
    Mutant(
        "one_parser_for_all_owners",
        "workers/parser_client.py",
        "key = self._requester, job.owner",
        'key = self._requester, b""',
        (f"{TESTS}::test_no_two_requesters_and_no_two_owners_share_a_parser",),
        "a user's file gives frames to root's processes",
    ),
    Mutant(
        "parser_keeps_files",
        "workers/parser_process.py",
        "if order.job.last:",
        "if False:",
        (f"{TESTS}::test_no_file_stays_open_in_a_parser",),
        "a file system stays in use after umount(8)",
    ),
    Mutant(
        "files_of_any_place",
        "workers/parser_answers.py",
        "or not process.maps.has_file(question.path)",
        "",
        (f"{TESTS}::test_questions_are_answered_about_this_process_alone",),
        "a parser has files opened that are not its process's",
    ),
    Mutant(
        "parser_without_end",
        "workers/parsing.py",
        "self._ends, self._told_until = now + seconds, now + _EXACT_SECONDS",
        "del now",
        (f"{TESTS}::test_a_parser_that_asks_for_ever_is_given_up",),
        "a parser that asks and asks, or sends without end, holds up its reader",
    ),
    Mutant(
        "parser_outlives_worker",
        "workers/parser_process.py",
        "            signal.pidfd_send_signal(parser, signal.SIGKILL)\n",
        "            pass\n",
        ("tests/attack/test_parsers.py::test_a_parser_ends_with_its_worker_whatever_it_does",),
        "a parser that is taken over stays for ever, with the files that it was sent",
    ),
)
