"""Profiles of uploaded CSV files (example)."""
