"""Sign-up, log-in, the welcome mail (example)."""
