"""What FUSE asks for, answered: nodes, open files and directories, quotas, the daemon."""
