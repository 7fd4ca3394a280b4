"""A FUSE mirror of /proc with decoded views, decided by the requester's own rights."""

__version__ = "0.1.0"
