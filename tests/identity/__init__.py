"""Tests of procmirror/identity without root and without a mount."""
