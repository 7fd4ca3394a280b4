"""The text of the kernel's parameters."""

from __future__ import annotations

from procmirror.decoding.view import Machine
from procmirror.views import sys_text


def test_a_parameter_that_nobody_can_read_is_not_said_to_be_refused() -> None:
    # stable_secret is an input/output error for root too as long as it is not set
    # (proc_addrconf_stable_secret, net/ipv6/addrconf.c).
    text = sys_text.text({"net": {"ipv6": {"stable_secret": None}}}, Machine())
    assert text == "net.ipv6.stable_secret  (not readable)\n"
