"""/proc/fs/xfs: the statistics of XFS."""
