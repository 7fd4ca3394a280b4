"""What accounts may hold: each for itself, and all together."""

from __future__ import annotations

import errno
import resource

import pytest

from procmirror.fuse import quota as quotas
from procmirror.fuse.quota import LESSER_ROOTS, ROOT, Quota, account_of, kept_processes
from procmirror.identity.identity import Identity
from procmirror.identity.requester import Requester

LIMIT = 1 << 13
RIGHTS = 0b1110
MIB = 1 << 20


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch) -> Quota:
    return limited(monkeypatch, LIMIT)


def limited(monkeypatch: pytest.MonkeyPatch, limit: int) -> Quota:
    monkeypatch.setattr(quotas, "_descriptor_limit", lambda: limit)
    return Quota()


def most(quota: Quota, account: int) -> int:
    """Charge descriptors one by one until an account gets no more."""
    count = 0
    while quota.charged(account, 1):
        count += 1
    return count


@pytest.mark.parametrize("limit", [256, 1024, 4096, LIMIT, 1 << 16, 1 << 20])
def test_all_accounts_together_leave_enough_for_answers_processes_and_root(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    quota = limited(monkeypatch, limit)
    for_answers = min(256, limit // 4) + kept_processes()
    taken = sum(most(quota, account) for account in (1000, 1001, 1002, 1003, LESSER_ROOTS, -77))
    for_root = most(quota, ROOT)
    assert for_answers >= min(256, limit // 4)
    assert taken + for_root + for_answers <= limit
    assert for_root * 3 == taken
    assert taken + for_root + for_answers > limit - 4


@pytest.mark.parametrize("account", [1000, ROOT, LESSER_ROOTS, -77])
def test_one_account_gets_a_quarter(quota: Quota, account: int) -> None:
    assert most(quota, account) == (LIMIT - 256 - 1000) // 4


def test_where_others_hold_all_they_can_root_still_has_its_share(quota: Quota) -> None:
    for account in range(1000, 1010):
        most(quota, account)
    assert not quota.charged(2000, 1)
    assert most(quota, ROOT) == (LIMIT - 256 - 1000) // 4


def test_what_root_holds_is_not_taken_from_others(quota: Quota) -> None:
    most(quota, ROOT)
    assert sum(most(quota, account) for account in range(1000, 1010)) == 3 * (
        (LIMIT - 256 - 1000) // 4
    )


def test_what_is_given_back_may_be_held_again(quota: Quota) -> None:
    first, second = most(quota, 1000), most(quota, 1001)
    most(quota, 1002)
    quota.refund(1000, 5, 0)
    assert most(quota, 1003) == 5
    quota.refund(1003, 5, 0)
    assert most(quota, 1000) == 5
    quota.refund(1000, first, 0)
    quota.refund(1001, second, 0)
    assert (most(quota, 1000), most(quota, 1001)) == (first, second)


def test_root_gives_back_what_root_held(quota: Quota) -> None:
    quota.charge(ROOT, 10, 0)
    quota.refund(ROOT, 10, 0)
    assert most(quota, ROOT) == (LIMIT - 256 - 1000) // 4
    assert sum(most(quota, account) for account in range(1000, 1010)) == 3 * (
        (LIMIT - 256 - 1000) // 4
    )


def test_bytes_of_snapshots_are_limited_an_account(quota: Quota) -> None:
    assert quota.space(1000) == 64 * MIB
    quota.charge(1000, 1, 60 * MIB)
    assert quota.space(1000) == 4 * MIB
    assert not quota.charged(1000, 0, 4 * MIB + 1)
    assert quota.charged(1000, 0, 4 * MIB)
    assert quota.space(1000) == 0
    assert quota.space(1001) == 64 * MIB
    quota.refund(1000, 1, 64 * MIB)
    assert quota.space(1000) == 64 * MIB


def test_a_refused_charge_changes_nothing(quota: Quota) -> None:
    with pytest.raises(OSError, match="Too many open files in system") as refused:
        quota.charge(1000, LIMIT, 0)
    assert refused.value.errno == errno.ENFILE
    with pytest.raises(OSError, match="Too many open files in system"):
        quota.charge(1000, 1, 65 * MIB)
    assert quota.space(1000) == 64 * MIB
    assert quota.returned(1000) == -1
    assert most(quota, 1000) == (LIMIT - 256 - 1000) // 4


def test_refunds_are_counted_for_those_who_wait(quota: Quota) -> None:
    assert quota.returned(1000) == -1
    quota.charge(1000, 3, 0)
    before = quota.returned(1000)
    assert before >= 0
    quota.refund(1000, 1, 0)
    assert quota.returned(1000) == before + 1
    quota.in_vain(1000)
    assert quota.returned(1000) == -1
    quota.refund(1000, 1, 0)
    assert quota.returned(1000) == before + 2
    quota.refund(1000, 1, 0)
    assert quota.returned(1000) == -1
    quota.in_vain(1000)


def test_no_limit_of_descriptors_is_a_limit_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (infinity, infinity))
    assert most(Quota(), 1000) == ((1 << 20) - 256 - 1000) // 4


def requester(uid: int, capabilities: int, *, foreign: bool = False) -> Requester:
    return Requester(7, 7, Identity(uid, 0, (), capabilities), "user:[1]", foreign)


@pytest.mark.parametrize(
    ("uid", "capabilities", "account"),
    [
        (1000, 0, 1000),
        (1000, RIGHTS, 1000),
        (0, RIGHTS, ROOT),
        (0, RIGHTS | 1, ROOT),
        (0, RIGHTS ^ 0b10, LESSER_ROOTS),
        (0, 0, LESSER_ROOTS),
    ],
)
def test_accounts_of_our_user_namespace(uid: int, capabilities: int, account: int) -> None:
    assert account_of(requester(uid, capabilities), RIGHTS, -1) == account


@pytest.mark.parametrize(("owner", "account"), [(1000, 1000), (0, -4026532999)])
def test_accounts_of_other_user_namespaces(
    monkeypatch: pytest.MonkeyPatch, owner: int, account: int
) -> None:
    """That of the owner; a namespace of root's is its own, whoever its inhabitants say they are."""
    monkeypatch.setattr(quotas, "outermost_user_namespace", lambda *_: (4026532999, owner))
    for uid in (0, 100000):
        assert account_of(requester(uid, RIGHTS, foreign=True), RIGHTS, -1) == account
