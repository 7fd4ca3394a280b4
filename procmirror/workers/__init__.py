"""Processes that carry out operations which may wait, and the daemon's pool of them."""
