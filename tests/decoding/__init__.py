"""Tests of procmirror/decoding."""
