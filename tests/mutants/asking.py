"""Faults of the layers that ask the kernel (identity, procfs, mirror) that unit tests find."""

from __future__ import annotations

from tests.mutants.row import Mutant

CREDENTIALS = ("tests/identity/test_credentials.py",)
REQUESTER = ("tests/identity/test_requester.py",)
READING = ("tests/procfs/test_reading.py",)
FACTS = ("tests/procfs/test_facts.py",)
MAPPED = ("tests/procfs/test_mapped.py",)
ENTRIES = ("tests/procfs/test_proc_entries.py",)
WALK = ("tests/procfs/test_bounded_walk.py",)
PLACES = ("tests/mirror/test_places.py",)
TREE = ("tests/mirror/test_tree.py",)
SAME_RIGHTS = ("tests/identity/test_same_rights.py",)
QUERY = ("tests/mirror/test_index_query.py",)
RELATIONS = ("tests/test_index_relations.py",)

ASKING = (
    Mutant(
        "capabilities_are_not_asked",
        "identity/same_rights.py",
        "return user == self._user and thread_calls",
        "return user == self._user or thread_calls",
        SAME_RIGHTS,
        "root that gave up its capabilities still has them here for a moment",
    ),
    Mutant(
        "whoever_comes_as_another_user",
        "identity/same_rights.py",
        "(known.uid, known.gid) != (uid, gid)",
        "known.gid != gid",
        SAME_RIGHTS,
        "root that works for a user is answered as root",
    ),
    Mutant(
        "a_ring_is_its_thread",
        "identity/requester.py",
        "return call is not None and is_open_call(call)",
        "return True",
        SAME_RIGHTS,
        "a ring of io_uring with another personality opens files as its thread",
    ),
    Mutant(
        "leases_are_waited_for",
        "identity/files.py",
        "READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC",
        "READ = os.O_RDONLY | os.O_CLOEXEC",
        ("tests/identity/test_files.py",),
        "who has a lease on a file of his process in /proc keeps everybody waiting",
    ),
    Mutant(
        "short_piece_is_the_end",
        "identity/files.py",
        "    while piece:\n",
        "    while piece and len(piece) == PIECE:\n",
        ("tests/identity/test_files.py",),
        "behind a few dozen mounts a private /proc hides nothing",
    ),
    Mutant(
        "more_than_permitted",
        "identity/credentials.py",
        "(identity.capabilities | self_capabilities) & self.permitted",
        "(identity.capabilities | self_capabilities)",
        CREDENTIALS,
        "a requester with more rights than the daemon is answered by nobody",
    ),
    Mutant(
        "effective_id_is_the_requesters",
        "identity/credentials.py",
        "if euid and self._nobodys and not whole:",
        "if False:",
        CREDENTIALS,
        "a user changes for good how the daemon is scheduled",
    ),
    Mutant(
        "groups_stay",
        "identity/credentials.py",
        (
            "            if identity.groups != self.rest.groups:\n"
            "                thread_calls.setgroups(self.rest.groups)\n"
            "        except OSError:\n"
            "            os.abort()"
        ),
        ("        except OSError:\n            os.abort()"),
        CREDENTIALS,
        "the daemon reads with the groups of the last requester",
    ),
    Mutant(
        "thread_zero",
        "identity/requester.py",
        ('        if tid == 0:\n            raise ValueError("not of this pid namespace")\n'),
        "",
        REQUESTER,
        "a requester of another pid namespace is taken for another process",
    ),
    Mutant(
        "effective_ids_asked_for",
        "identity/system_call.py",
        "and not (call[0] in _FACCESSAT2 and int(call[4], 16) & file_calls.AT_EACCESS)",
        "",
        REQUESTER,
        "faccessat(2) with AT_EACCESS is answered with other rights",
    ),
    Mutant(
        "fewer_capabilities_admitted",
        "identity/requester.py",
        "            and own.capabilities & ~theirs.capabilities == 0\n",
        "",
        REQUESTER,
        "who gave up a capability is answered with it",
    ),
    Mutant(
        "statuses_without_limit",
        "identity/thread_files.py",
        "if len(self._statuses) > _KEPT:",
        "if False:",
        REQUESTER,
        "many requesters take the descriptors of the daemon",
    ),
    Mutant(
        "not_a_regular_file",
        "procfs/open_file.py",
        "if not stat.S_ISREG(status.st_mode):",
        "if False:",
        MAPPED,
        "a user's FIFO holds up root's stack.txt for ever",
    ),
    Mutant(
        "symbols_by_a_link",
        "procfs/mapped.py",
        "file_calls.RESOLVE_NO_MAGICLINKS | file_calls.RESOLVE_NO_SYMLINKS",
        "file_calls.RESOLVE_NO_MAGICLINKS",
        MAPPED,
        "a user has root read another file as the names of functions",
    ),
    Mutant(
        "mapped_file_of_any_name",
        "procfs/process_reading.py",
        "if (status.device, status.inode) != (device, inode):",
        "if False:",
        (
            "tests/oracles/test_open_files.py::test_a_mapped_file_without_its_name_has_a_size_for_root_and_a_reason_for_others",
        ),
        "another file's size is told of a mapped file that was replaced",
    ),
    Mutant(
        "memory_of_remote_files",
        "procfs/process_reading.py",
        "if start < offset + size and offset < end:",
        "if False:",
        MAPPED,
        "a page of a user's file system holds a worker for ever",
    ),
    Mutant(
        "debug_file_on_fuse",
        "procfs/mapped.py",
        (
            "            if self._mounts.is_local(file_calls.object_of(place)[1]):\n"
            "                return self._opened(place)"
        ),
        "            return self._opened(place)",
        MAPPED,
        "a user's file system holds up root's stack.txt for ever",
    ),
    Mutant(
        "mapped_by_now_on_fuse",
        "procfs/mapped.py",
        "return self._opened(file) if self._is_local(file, number) else None",
        "return self._opened(file)",
        MAPPED,
        "who maps another file at the right moment has root's worker ask his file system",
    ),
    Mutant(
        "others_with_the_right_to_oneself",
        "procfs/process_reading.py",
        ("            with self._rights.of_others():\n                return super().read(path)"),
        "            return super().read(path)",
        MAPPED,
        "a mount that hides processes shows the children of the requester",
    ),
    Mutant(
        "overlay_on_an_overlay",
        "procfs/local_files.py",
        "return all(mount is not None and mount.is_local() for mount in below)",
        "return all(mount is not None for mount in below)",
        MAPPED,
        "a user's file system below two overlays holds up root's stack.txt",
    ),
    Mutant(
        "overlay_of_another_user_namespace",
        "procfs/local_files.py",
        'if owner_of_mounts(self._own, b"1/") == os.readlink(b"self/ns/user", dir_fd=self._own):',
        "if True:",
        MAPPED,
        "layers that a user has named are believed to be on local file systems",
    ),
    Mutant(
        "stuck_asked_again",
        "procfs/reading.py",
        "waits = pid in self._walk.refused and _name(name) in _MAY_WAIT",
        "waits = False",
        WALK,
        "a walk over a stuck process hangs a second time",
    ),
    Mutant(
        "not_noted_after_a_walk",
        "procfs/reading.py",
        "            self._is_walking = False",
        "            pass",
        ("tests/test_sources.py",),
        "one source that hangs takes a view of all processes, as nobody knows which it is",
    ),
    Mutant(
        "endless_line",
        "procfs/reading.py",
        ("                if len(rest) > LIMIT:\n                    raise error(errno.EFBIG)\n"),
        "",
        READING,
        "a process without newlines in its maps takes the memory of a worker",
    ),
    Mutant(
        "parts_stay_open",
        "procfs/reading.py",
        "if len(self._parts) > _PARTS:",
        "if False:",
        READING,
        "a process with many threads takes the descriptors of a worker",
    ),
    Mutant(
        "memory_of_the_worker",
        "procfs/reading.py",
        ("        if self._is_server(self._path(path)):\n            raise error(errno.EACCES)\n"),
        "",
        READING,
        "a requester reads the memory of the worker that serves it",
    ),
    Mutant(
        "hanging_thread_untold",
        "procfs/reading.py",
        "if self._walk and self._walk.given_up:",
        "if False:",
        WALK,
        "a worker in which another requester's thread hangs is used again",
    ),
    Mutant(
        "hiding_by_number_unknown",
        "procfs/mounts.py",
        '"2": "invisible", "4": "ptraceable"',
        '"2": "", "4": "ptraceable"',
        ENTRIES,
        "on old kernels names of hidden processes are answered from the cache",
    ),
    Mutant(
        "boot_time_jitters",
        "procfs/machine.py",
        "return before if abs(found - before) <= _SAME_BOOT else found",
        "return found",
        FACTS,
        "started differs by a second from one look to the next",
    ),
    Mutant(
        "last_name_of_an_id",
        "procfs/machine.py",
        "names.setdefault(int(fields[2]), fields[0])",
        "names[int(fields[2])] = fields[0]",
        FACTS,
        "root is shown as toor",
    ),
    Mutant(
        "descriptors_are_public",
        "mirror/places.py",
        '"PID/fd": Place(public=False, populous=True,',
        '"PID/fd": Place(public=True, populous=True,',
        PLACES,
        "who may not list the descriptors of a process learns which there are",
    ),
    Mutant(
        "setting_of_that_name_here",
        "mirror/places.py",
        "return row._replace(files={}, prompt=frozenset())",
        "return row._replace(files={})",
        PLACES,
        "a setting that is named like a prompt one in another directory holds up the daemon",
    ),
    Mutant(
        "write_to_clear_refs",
        "mirror/places.py",
        'or (written and name == b"clear_refs")',
        "",
        PLACES,
        "writers of clear_refs take all workers",
    ),
    Mutant(
        "closed_directories_public",
        "mirror/traits.py",
        "return traits if mode & stat.S_IXOTH or not traits.public else replace(traits, public=False)",
        "return traits",
        TREE,
        "what root has closed is answered to everybody",
    ),
    Mutant(
        "one_refusal_ends_a_listing",
        "mirror/listing.py",
        "with suppress(OSError):",
        "with suppress(FileNotFoundError):",
        TREE,
        "a listing breaks off at what may not be looked at",
    ),
    Mutant(
        "hidden_in_indexes",
        "mirror/index_query.py",
        'return is_hidden("PID") and (found := parse(path)) is not None and found[2] == "link"',
        "return False",
        QUERY,
        "what -o hide= hides is found in the indexes",
    ),
    Mutant(
        "refusal_is_an_error",
        "mirror/index_query.py",
        "except (FileNotFoundError, ProcessLookupError, PermissionError):",
        "except (FileNotFoundError, ProcessLookupError):",
        QUERY,
        "a link of an index tells that a process is there",
    ),
    Mutant(
        "deep_paths_listed",
        "mirror/index/relations.py",
        "if takes > _limit(taken) or (takes and brought == _MOST_OF_PROCESS):",
        "if False:",
        ("tests/attack/test_large.py::test_an_index_of_any_paths_is_bounded_and_lists_everybody",),
        "a process with a deep path takes the memory of the table",
    ),
    Mutant(
        "sockets_without_a_port",
        "mirror/index/relations.py",
        "if port and inode:",
        "if inode:",
        RELATIONS,
        "processes are listed by the port 0",
    ),
)
