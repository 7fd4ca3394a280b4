"""What one unprivileged user may try against the mirror, each kind with bystanders beside it."""
