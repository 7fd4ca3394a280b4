"""How fast the mirror is.

Ratios to a C file system and to other decoders, taken in one run on one CPU.
"""
