"""How fast the mirror is: ratios to a C file system and to other decoders, taken in one run on one CPU."""
