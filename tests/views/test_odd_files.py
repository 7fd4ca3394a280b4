"""Files as odd machines print them: nothing is lost, and one part takes no other."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from procmirror.decoding.render import rendered
from procmirror.decoding.view import DecodeError, Machine, View
from procmirror.views import VIEWS
from procmirror.views.pid import auxv, limits
from tests.fixtures import FIXTURES, Fixture, Folder
from tests.schemas import validator

BY_NAME = {view.name: view for view in VIEWS}
MACHINE = Machine(boot_time=1_700_000_000.0)
DECODED = [one for one in FIXTURES if one.view.decode is not None and one.suffix == "json"]


def answer(name: str, raw: bytes, suffix: str = "json") -> Any:
    """The JSON of a view of these bytes; the text for `txt`."""
    view: View = BY_NAME[name]
    content = b"".join(rendered(view, suffix, view.decoded(raw, MACHINE), MACHINE))
    return json.loads(content) if suffix == "json" else content.decode()


MDSTAT = b"Personalities : [raid1] \n%sunused devices: <none>\n"
PLAIN = b"md%d : active raid1 sdb%d[1] sda%d[0]\n      1024 blocks [2/1] [U_]\n      \n"


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_each_array_of_mdstat_is_there(count: int) -> None:
    arrays = b"".join(PLAIN % (at, at, at) for at in range(count))
    found = answer("mdstat", MDSTAT % arrays)["arrays"]
    assert [one["name"] for one in found] == [f"md{at}" for at in range(count)]
    assert all((one["size"], one["disks"]) == (1 << 20, "U_") for one in found)


def test_an_array_that_lost_its_devices_keeps_what_it_says() -> None:
    head = b"md9 : active raid5 super 1.2 level 5, 64k chunk, algorithm 2 [4/0] [____]\n      \n"
    (array,) = answer("mdstat", MDSTAT % head)["arrays"]
    assert (array["raid_disks"], array["working_disks"], array["disks"]) == (4, 0, "____")
    assert (array["super"], array["details"]) == ("1.2", "level 5, 64k chunk, algorithm 2")


@pytest.mark.parametrize("metadata", ["1.2", "external:imsm", "non-persistent"])
def test_an_inactive_array_without_devices_has_no_level(metadata: str) -> None:
    head = f"md0 : inactive super {metadata}\n".encode()
    (array,) = answer("mdstat", MDSTAT % head)["arrays"]
    assert (array["level"], array["super"], array["details"]) == (None, metadata, None)


def test_an_array_that_another_node_recovers() -> None:
    lines = PLAIN % (1, 1, 1) + b"      \trecover=REMOTE\n      \n"
    (array,) = answer("mdstat", MDSTAT % lines)["arrays"]
    assert (array["action"]["action"], array["action"]["waits"]) == ("recover", "REMOTE")


@pytest.mark.parametrize(
    ("name", "raw", "path", "value"),
    [
        ("meminfo", b"MemTotal: 9 kB\nSwapFree: 18446744073709551612 kB\n", "SwapFree", -4096),
        ("vmstat", b"nr_dirty 18446744073709551615\n", "nr_dirty", -1),
        ("PID/statm", b"1 2 18446744073709551615 2 0 7 0\n", "shared", -4096),
    ],
)
def test_a_counter_below_zero(name: str, raw: bytes, path: str, value: int) -> None:
    assert answer(name, raw)[path] == value


KEY = b"1469a5f9 I--Q---     1 perm 3f010000 %d %d user      %b\n"


def test_ids_above_2_31_that_the_kernel_prints_with_a_sign() -> None:
    (key,) = answer("keys", KEY % (-294967296, -294967295, b"one: 1"))
    assert (key["uid"], key["gid"]) == (4_000_000_000, 4_000_000_001)
    (old,) = answer("keys", KEY % (0, -1, b"one: 1"))
    assert old["gid"] is None
    header = (
        b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    )
    (route,) = answer("net/route", header + b"lo 0A 0 0001 0 0 -16769024 000000FF 0 0 0\n")
    assert route["metric"] == 4_278_198_272


def test_a_forged_key_with_an_id_that_no_user_has_takes_no_other() -> None:
    (key,) = answer("keys", KEY % (0, 0, b"one") + KEY % (9_999_999_999, 0, b"forged"))
    assert key["description"].endswith("forged") and not key["ambiguous"]


def test_a_key_whose_name_has_a_hundred_thousand_lines() -> None:
    (key,) = answer("keys", KEY % (0, 0, b"one") + (b"x" * 99 + b"\n") * 100_000)
    assert len(key["description"]) == len("one") + 100 * 100_000


def test_a_disk_whose_name_begins_with_that_of_the_disk_before_it(tmp_path: Path) -> None:
    names = [
        "md1",
        "md127",
        "md127p1",
        "mmcblk0",
        "mmcblk0p1",
        "mmcblk0boot0",
        "sda",
        "sda1",
        "sdaa",
        "sdaa12",
    ]
    raw = b"".join(
        b"8 %d %b 5 0 8 0 5 0 8 0 0 0 0\n" % one for one in enumerate(map(str.encode, names))
    )
    every = BY_NAME["machine"].record_of(Folder(tmp_path, {"diskstats": raw}), MACHINE)
    found = every.content(iter(()))
    shown = [disk.name for disk in found.disks]
    assert shown == ["md1", "md127", "mmcblk0", "mmcblk0boot0", "sda", "sdaa"]


def test_counts_of_flushes_are_no_memory() -> None:
    text = answer("vmstat", b"nr_free_pages 3\nnr_tlb_remote_flush 3\n", "txt")
    assert [line.split() for line in text.splitlines()] == [
        ["nr_free_pages", "3", "12.0KiB"],
        ["nr_tlb_remote_flush", "3"],
    ]


def test_a_clock_that_is_no_number_is_kept_as_text() -> None:
    (found,) = answer("cpuinfo", b"processor : 0\ncpu MHz : nan\nbogomips : inf\n")
    assert (found["cpu MHz"], found["bogomips"]) == (None, None)
    assert found["extra"] == {"cpu MHz": "nan", "bogomips": "inf"}


def test_a_long_path_of_the_vector_stays_on_one_line() -> None:
    path = f"/{'d' * 120}/a  b"
    entries = [auxv.Entry("AT_EXECFN", 31, "0x7ffd", path)]
    (line,) = auxv.text(entries, MACHINE)
    assert line.endswith(f"  {path}\n")


MANY = 500_000
SCSI = b"Host: scsi0 Channel: 00 Id: 00 Lun: 00\n  Vendor: 12345678 Model: 1234567890123456 Rev: 1234\n"
IMPL = b"device a mounted on /x with fstype nfs statvers=1.1\n\timpl_id:\t"


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("PID/mountstats", IMPL + b"',domain='',date='" * MANY),
        ("PID/limits", b"Limit Soft Limit Hard Limit Units\nMax" + b" " * MANY + b"x"),
        ("allocinfo", b"allocinfo - version: 1.0\n#\n 1 2 a" + b":1 [" * MANY),
        ("allocinfo", b"allocinfo - version: 1.0\n#\n 1 2 a:1 func:b c" + b" " * MANY + b"d"),
        ("buddyinfo", b"Node 0, zone DMA" + b" 1" * MANY),
        ("cpuinfo", b"processor : 0\n" + b"Novelty : of forty characters and some more\n" * MANY),
        ("execdomains", b"0-0\tLinux" + b" " * MANY + b"x"),
        ("fs/fscache/stats", b"Acquire: a=" + b"1" * MANY + b"?"),
        ("interrupts", b"  CPU0\n 1: 5 " + b"-" * MANY + b"\v x"),
        ("mdstat", b"Personalities : " + b"[" * MANY),
        ("pressure/cpu", b"some avg10=1" + b" total=1" * MANY + b" ?"),
        ("schedstat", b"version 15\ncpu0 0 0 0 0 0 0 1 2 3\ndomain0 " + b"f" * MANY + b" 1"),
        ("scsi/scsi", b"Attached devices:\n" + SCSI + b"  Type:   a" + b" " * MANY + b"x"),
        ("zoneinfo", b"Node 0, zone DMA\n  pages free 1\n  a" + b" " * MANY + b"x"),
    ],
)
def test_a_file_of_megabytes_gives_a_record_or_decode_error(name: str, raw: bytes) -> None:
    """What takes time by the square of its length takes days here."""
    view = BY_NAME[name]
    decode = limits.decode if name == "PID/limits" else view.decoded
    with suppress(DecodeError, ValueError):
        assert decode(raw + b"\n", MACHINE) is not None


def test_a_line_of_blanks_ends_no_table_of_devices() -> None:
    found = answer("devices", b"Character devices:\n  1 mem\n   \n  4 tty\n")
    assert [one["name"] for one in found] == ["mem", "tty"]


def test_a_range_of_all_addresses_takes_no_other() -> None:
    raw = b"0000000000000000-ffffffffffffffff : all\n  00000000-00000fff : one\n"
    assert [one["size"] for one in answer("iomem", raw)] == [None, 4096]


def test_a_share_that_is_no_number_takes_no_other_line() -> None:
    full = b"full avg10=0.10 avg60=1.00 avg300=2.50 total=7\n"
    for some in (b"some avg10=1.2.3 avg60=1.00 avg300=0.00 total=7", b"some avg10=1.00 total=7"):
        found = answer("pressure/cpu", some + b"\n" + full)
        assert (found["some"], found["full"]["avg300"]) == (None, 2.5)
        assert found["extra"] == {"some": some.decode().partition(" ")[2]}


def test_a_progress_that_is_no_number_is_a_line() -> None:
    line = "[==>......]  resync = 1.2.3% (1/2) finish=1.0min speed=1K/sec"
    (array,) = answer("mdstat", MDSTAT % (PLAIN % (1, 1, 1) + f"      {line}\n".encode()))["arrays"]
    assert (array["action"], array["lines"]) == (None, [line])


def test_names_of_interrupt_controllers_have_blanks() -> None:
    raw = (
        b"           CPU0       CPU1\n"
        b" 55:      91234          1  BRCM STB PCIe MSI 524288 Edge      xhci_hcd, usb\n"
        b" 56:          2          0  RISC-V INTC   5 Edge      riscv-timer\n"
    )
    usb, timer = answer("interrupts", raw)
    assert (usb["chip"], usb["hwirq"], usb["level"]) == ("BRCM STB PCIe MSI", 524288, "Edge")
    assert usb["devices"] == ["xhci_hcd", "usb"]
    assert (timer["chip"], timer["hwirq"]) == ("RISC-V INTC", 5)


# Every byte that the kernel does not escape in a name and that ends no string.
ODD = [bytes([code]) for code in [*range(1, 9), *range(0x0B, 0x20), 0x7F, *range(0x80, 0x100)]]


@pytest.mark.parametrize(
    ("name", "raw", "path"),
    [
        (
            "PID/mountstats",
            b"device tmpfs mounted on /tmp/aXb with fstype tmpfs\n",
            lambda found: found[0]["mount_point"],
        ),
        ("PID/mounts", b"t /tmp/aXb tmpfs rw 0 0\n", lambda found: found[0]["file"]),
        (
            "PID/mountinfo",
            b"1 2 0:3 / /tmp/aXb rw - tmpfs t rw\n",
            lambda found: found[0]["mount_point"],
        ),
        (
            "PID/numa_maps",
            b"7f00 default file=/tmp/aXb mapped=3 N0=3\n",
            lambda found: found[0]["file"],
        ),
        (
            "swaps",
            b"Filename\tType\tSize\tUsed\tPriority\n/tmp/aXb   file\t8\t0\t-2\n",
            lambda found: found[0]["Filename"],
        ),
        (
            "PID/maps",
            b"1000-2000 r--p 00000000 00:01 7                  /tmp/aXb\n",
            lambda found: found[0]["pathname"],
        ),
    ],
)
def test_a_name_may_have_any_byte(name: str, raw: bytes, path: Any) -> None:
    for byte in ODD:
        shown = path(answer(name, raw.replace(b"X", byte)))
        assert shown == f"/tmp/a{byte.decode('utf-8', 'backslashreplace')}b"


def test_an_old_table_lacks_columns() -> None:
    raw = (
        b"sk       Eth Pid    Groups   Rmem     Wmem     Dump     Locks\n"
        b"ffff899edda06000 0   436    00000110 0        0        (null) 2\n"
    )
    (one,) = answer("net/netlink", raw)
    assert (one["drops"], one["inode"], one["dump"]) == (None, None, False)


def test_an_interface_without_statistics() -> None:
    raw = (
        b"Inter-|   Receive  |  Transmit\n"
        b" face |bytes packets errs drop fifo frame compressed multicast"
        b"|bytes packets errs drop fifo colls carrier compressed\n"
        b"  sit0: No statistics available.\n"
    )
    assert answer("net/dev", raw) == [{"interface": "sit0", "receive": None, "transmit": None}]
    assert "no statistics" in answer("net/dev", raw, "txt")


def test_an_nfs_server_cannot_put_mounts_into_mountstats_by_newlines() -> None:
    raw = (
        b"device h:/ mounted on /n with fstype nfs4 statvers=1.1\n"
        b"\topts:\trw\n\tage:\t5\n"
        b"\timpl_id:\tname='x\n"
        b"device forged mounted on /etc with fstype ext4\n"
        b"',domain='d',date='0,0'\n"
        b"\tcaps:\tcaps=0x1\n\n"
        b"\tper-op statistics\n\t        READ: 1 2 3 4 5 6 7 8 9 10 11\n\n"
        b"device tmpfs mounted on /run with fstype tmpfs\n"
    )
    nfs, run = answer("PID/mountstats", raw)
    assert (nfs["mount_point"], run["mount_point"]) == ("/n", "/run")
    assert nfs["nfs"]["capabilities"] == ["caps=0x1"]
    assert nfs["nfs"]["operations"][0]["extra"] == {"10": "10", "11": "11"}


def test_a_group_of_xfs_may_have_two_words() -> None:
    assert answer("fs/xfs/stat", b"xpc 1 2 3\ngc xpc 7\n")["gc xpc"] == {"gc_bytes": 7}


def test_processors_without_empty_lines() -> None:
    raw = b"processor\t: 0\nmodel name\t: A\nprocessor\t: 1\nmodel name\t: A\nmodel name\t: B\n"
    first, second = answer("cpuinfo", raw)
    assert (first["processor"], second["processor"]) == (0, 1)
    assert second["extra"] == {"model name": "B"}


def test_a_forged_name_of_an_input_device() -> None:
    raw = (
        b'I: Bus=0003 Vendor=046d Product=c31c Version=0110\nN: Name="a"\nH: Handlers=x\n'
        b'\n"\nP: Phys=p\nS: Sysfs=/d\nU: Uniq=\nH: Handlers=kbd \nB: PROP=0\nB: EV=3\n\n'
    )
    (one,) = answer("bus/input/devices", raw)
    assert one["handlers"] == ["kbd"]
    assert one["ambiguous"]


@pytest.mark.parametrize(
    ("start", "seconds"), [(1844674291296, -1160.74), (2**64 - 1, -0.01), (100, 1.0)]
)
def test_a_start_before_the_boot(start: int, seconds: float) -> None:
    columns = ["0"] * 50
    columns[0:2], columns[19] = ["S", "1"], str(start)
    raw = f"7 (x) {' '.join(columns)}\n".encode()
    assert answer("PID/stat", raw)["starttime"] == pytest.approx(seconds)


@pytest.mark.parametrize("fixture", DECODED, ids=str)
def test_an_empty_line_at_the_end_changes_nothing(fixture: Fixture) -> None:
    raw = fixture.raw.read_bytes()
    if fixture.view.name in BINARY or not raw:
        return
    for more in (b"\n", b"\n\n"):
        assert fixture.content({fixture.view.entry: raw + more}) == fixture.content()


# Their content is no lines, or a name in them may end in a newline.
BINARY = {"config.gz", "net/rt_acct", "PID/cmdline", "PID/environ", "PID/comm", "PID/cpuset"}
BINARY |= {"net/unix", "keys"}


def test_a_row_that_cannot_be_decoded_takes_no_other() -> None:
    raw = b"reg00: base=0x000000000 (    0MB), size= 1024MB, count=1: write-back\nreg01: odd\n"
    good, bad = answer("mtrr", raw)
    assert good["register"] == 0
    assert bad["line"] == "reg01: odd"
    assert bad["incomplete"][0]["part"] == "line 2"


def test_a_statistic_of_another_form_is_kept_as_text() -> None:
    raw = b"1 1 0x01 2 544 1 2\nname type data\nhits 4 12\nodd of three words\nmisses 4 3\n"
    found = answer("spl/kstat/zfs/arcstats", raw)
    assert found == {"odd": "of three words", "hits": 12, "misses": 3}


def test_a_limit_that_nobody_knows_yet_is_kept() -> None:
    row = b"Max novelty               424242               unlimited            novelties \n"
    raw = b"Limit                     Soft Limit           Hard Limit           Units     \n" + row
    (limit,) = limits.decode(raw, MACHINE)
    assert (limit.limit, limit.resource, limit.soft, limit.hard) == (
        "Max novelty",
        None,
        424242,
        None,
    )


@pytest.mark.parametrize("name", ["scsi/scsi", "partitions"])
@pytest.mark.parametrize("raw", [b"", b"\n"])
def test_no_device_is_no_error(name: str, raw: bytes) -> None:
    assert answer(name, raw) == []


def test_the_text_ends_with_what_is_missing() -> None:
    raw = b"Filename Type Size Used Priority\n/a file 8 0 -2\n/b file x\x1b 0 -3\n"
    last = answer("swaps", raw, "txt").splitlines()[-1]
    assert last.startswith("incomplete: line 3: expected a number, found")
    assert "\x1b" not in last


@pytest.mark.parametrize("fixture", DECODED, ids=str)
def test_messages_are_no_words_of_python(fixture: Fixture) -> None:
    """Each file cut short somewhere: the error names the file and what was expected."""
    raw = fixture.raw.read_bytes()
    for end in range(0, len(raw), max(1, len(raw) // 40)):
        message = refusal(fixture, raw[:end])
        assert message.startswith(fixture.view.name)
        assert not re.search(r"IndexError|KeyError|zip\(\)|unpack|literal", message)


def refusal(fixture: Fixture, raw: bytes) -> str:
    """Why a file is refused; the name of the view where it is not."""
    try:
        fixture.content({fixture.view.entry: raw})
    except DecodeError as error:
        return str(error)
    return fixture.view.name


# Where a line more is none of the file's: it has a fixed number of them, or a header of several.
FIXED = {
    "net/ip_vs_stats": "two headers, each with a line of numbers",
    "slabinfo": "a header of two lines",
    "net/dev": "a header of two lines",
}
# Whose text shows chosen values, of which a line more is none: only the JSON has it.
CHOSEN = {
    *("PID/io", "PID/mountstats", "PID/sched", "PID/smaps_rollup", "PID/stat", "PID/status"),
    *("bus/input/devices", "cpuinfo", "net/sockstat", "net/sockstat6", "stat", "zoneinfo"),
    *("pressure/cpu", "pressure/io", "pressure/memory"),
}


def count(fixture: Fixture) -> int:
    """How many lines a captured file has."""
    return len(fixture.raw.read_bytes().splitlines())


LINES = [one for one in FIXTURES if one.view.decode and one.suffix in {"json", "txt"}]
LINES = [one for one in LINES if one.view.name not in BINARY | FIXED.keys()]
# The longest capture of each view in each format; of one line are files of one value.
LINES = list({(one.view.name, one.suffix): one for one in sorted(LINES, key=count)}.values())
LINES = [one for one in LINES if count(one) > 1]


@pytest.mark.parametrize(
    "odd", [b"words of another kernel 7", b"newkey: 5 words", b"   indented 12"]
)
@pytest.mark.parametrize("fixture", LINES, ids=str)
def test_a_line_more_ends_no_file_and_is_not_lost(fixture: Fixture, odd: bytes) -> None:
    before = fixture.raw.read_bytes().splitlines()
    headers = 1 if len(before) < 4 else 3
    for at in {max(len(before) // 2, headers), len(before)}:
        raw = b"\n".join([*before[:at], odd, *before[at:]]) + b"\n"
        said = fixture.content({fixture.view.entry: raw}).decode()
        if fixture.suffix == "json":
            validator(fixture.view).validate(json.loads(said))
        elif fixture.view.name in CHOSEN:
            continue
        assert all(word.strip(":") in said for word in odd.decode().split())


def test_a_value_that_is_no_number_takes_no_other() -> None:
    found = answer("meminfo", b"MemTotal: 9 kB\nMemFree: ?x kB\n")
    assert (found["MemTotal"], found["MemFree"], found["extra"]) == (
        9216,
        None,
        {"MemFree": "?x kB"},
    )
    keys = (b"rchar", b"wchar", b"syscr", b"syscw", b"read_bytes", b"write_bytes")
    values = b"".join(b"%s: 7\n" % key for key in keys)
    found = answer("PID/io", values + b"cancelled_write_bytes: ?x\n")
    assert (found["rchar"], found["extra"]) == (7, {"cancelled_write_bytes": "?x"})


def test_a_column_more_of_a_module_is_no_taint() -> None:
    (module,) = answer("modules", b"wifi 16384 0 - Live 0xffffffffc0000000 (OE) later\n")
    assert (module["flags"], module["extra"]) == (["out of tree", "unsigned"], {"8": "later"})


def test_an_odd_mark_of_fanotify_leaves_the_lines_as_text() -> None:
    lines = ["fanotify flags:10 event-flags:0", "fanotify newer:zz mflags:0 mask:x"]
    raw = "pos:\t3\nflags:\t02\nmnt_id:\t15\nino:\t99\n" + "\n".join(lines) + "\n"
    found = answer("PID/fdinfo/N", raw.encode())
    assert (found["pos"], found["fanotify"]) == (3, None)
    assert all(line.partition(" ")[2] in str(found["extra"]) for line in lines)


@pytest.mark.parametrize(
    ("key", "good", "odd"),
    [
        (
            "tfd",
            "tfd:        5 events:       19 data:                5  pos:0 ino:3 sdev:9",
            "tfd: zz",
        ),
        ("inotify", "inotify wd:1 ino:3 sdev:9 mask:2 ignored_mask:0", "inotify zz"),
        ("fanotify", "fanotify ino:3 sdev:9 mflags:0 mask:2 ignored_mask:0", "fanotify zz"),
    ],
)
def test_an_odd_line_of_what_is_watched_takes_no_other(key: str, good: str, odd: str) -> None:
    group = ["fanotify flags:10 event-flags:0"] if key == "fanotify" else []
    for rows in ([good, odd, good], [odd, good, good]):
        lines = ["pos:\t3", "flags:\t02", "mnt_id:\t15", "ino:\t99", *group, *rows, ""]
        found = answer("PID/fdinfo/N", "\n".join(lines).encode())
        watched = found["epoll" if key == "tfd" else key]
        marks = watched["marks"] if key == "fanotify" else watched
        assert [mark["inode"] for mark in marks] == [3, 3]
        assert found["extra"] == {key: ["zz"]}
