"""Tests of procmirror/mirror without root and without a mount."""
