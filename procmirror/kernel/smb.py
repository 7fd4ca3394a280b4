"""The commands of SMB 2 and 3 in the order of their numbers ([MS-SMB2] 2.2.1)."""

from __future__ import annotations

COMMANDS = (
    *("NEGOTIATE", "SESSION_SETUP", "LOGOFF", "TREE_CONNECT", "TREE_DISCONNECT", "CREATE"),
    *("CLOSE", "FLUSH", "READ", "WRITE", "LOCK", "IOCTL", "CANCEL", "ECHO", "QUERY_DIRECTORY"),
    *("CHANGE_NOTIFY", "QUERY_INFO", "SET_INFO", "OPLOCK_BREAK"),
)
