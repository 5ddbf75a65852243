"""Deletes what has expired, in small batches."""
