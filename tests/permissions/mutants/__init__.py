"""Mirrors that are broken on purpose.

Run as `python -m tests.permissions.mutants NAME …`, each must be found out.
"""
