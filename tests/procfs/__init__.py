"""Tests of procmirror/procfs: most of them on folders that stand for a /proc, without root."""
