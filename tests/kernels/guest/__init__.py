"""What runs on the booted kernel."""
