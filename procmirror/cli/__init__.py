"""The command: options, help, printing without a mount."""
