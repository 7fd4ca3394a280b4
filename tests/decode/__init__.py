"""Tests of procmirror/decode."""
