"""Who makes a request, and acting with that identity."""
