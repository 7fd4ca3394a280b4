"""Faults put into the source on purpose, each of which a test must find.

Run as `python -m tests.mutants`; `--help` tells the options.
"""
