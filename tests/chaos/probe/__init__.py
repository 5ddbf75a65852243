"""A Django app that only the fault suite mounts, as ``chaos_probe``."""
