"""The FUSE side: nodes, open files and directories, quotas, the daemon."""
