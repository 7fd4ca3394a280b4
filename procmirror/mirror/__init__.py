"""What the mirror contains: the entries of /proc, the views beside them and the indexes."""
