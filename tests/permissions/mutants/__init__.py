"""Mirrors that are broken on purpose: run as `python -m tests.permissions.mutants NAME …`, each must be found out."""
