"""The softirqs in the order of their numbers.

Source: enum in include/linux/interrupt.h, names in kernel/softirq.c.
"""

from __future__ import annotations

SOFTIRQS = (
    "HI",
    "TIMER",
    "NET_TX",
    "NET_RX",
    "BLOCK",
    "IRQ_POLL",
    "TASKLET",
    "SCHED",
    "HRTIMER",
    "RCU",
)
