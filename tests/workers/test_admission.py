"""No account takes more than its share, and what is given back is free for the next."""

from __future__ import annotations

import errno
from contextlib import ExitStack

import pytest

from procmirror.identity.errors import Unanswered
from procmirror.workers.admission import Admission

ALICE, BOB, CAROL, OTHERS = 1000, 1001, 1002, range(2000, 2048)


def test_an_account_has_at_most_400_waiting_requests() -> None:
    admission = Admission()
    with ExitStack() as waiting:
        for _ in range(400):
            waiting.enter_context(admission.waiting(ALICE))
        with pytest.raises(Unanswered) as refused, admission.waiting(ALICE):
            pass
        assert refused.value.errno == errno.EBUSY
        waiting.enter_context(admission.waiting(BOB))
    with admission.waiting(ALICE):
        pass


def test_an_account_has_at_most_16_overdue_requests() -> None:
    admission = Admission()
    with ExitStack() as overdue:
        for _ in range(16):
            overdue.enter_context(admission.overdue(ALICE))
        with pytest.raises(Unanswered) as refused, admission.overdue(ALICE):
            pass
        assert refused.value.errno == errno.EBUSY
        with admission.overdue(BOB):
            pass
    with admission.overdue(ALICE):
        pass


def test_whether_anybody_is_overdue_is_known() -> None:
    admission = Admission()
    seen = [admission.nobody_overdue]
    with admission.overdue(ALICE):
        seen.append(admission.nobody_overdue)
    assert [*seen, admission.nobody_overdue] == [True, False, True]


def test_two_accounts_with_many_overdue_requests_leave_some_to_a_third() -> None:
    admission = Admission()
    with ExitStack() as overdue:
        for one in range(24):
            overdue.enter_context(admission.overdue(ALICE if one % 2 else BOB))
        for user in (ALICE, BOB):
            with pytest.raises(Unanswered), admission.overdue(user):
                pass
        for _ in range(4):
            overdue.enter_context(admission.overdue(CAROL))
        with pytest.raises(Unanswered), admission.overdue(CAROL):
            pass


def test_all_accounts_together_have_at_most_48_overdue_requests() -> None:
    admission = Admission()
    with ExitStack() as overdue:
        for account in OTHERS:
            overdue.enter_context(admission.overdue(account))
        with pytest.raises(Unanswered), admission.overdue(BOB):
            pass


def test_an_account_has_at_most_4_workers_in_other_namespaces() -> None:
    admission = Admission()
    for _ in range(4):
        assert admission.may_have_namespace_worker(ALICE)
        admission.add_namespace_worker(ALICE)
    assert not admission.may_have_namespace_worker(ALICE)
    assert admission.may_have_namespace_worker(BOB)
    admission.remove_namespace_worker(ALICE)
    assert admission.may_have_namespace_worker(ALICE)
