"""Periodic tasks: declared in code, changed in the admin."""
