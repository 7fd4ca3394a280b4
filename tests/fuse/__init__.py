"""Tests of procmirror/fuse without root and without a mount."""
