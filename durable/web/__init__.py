"""Errors of the JSON API, an outage, names of static files, limits on bodies, streamed uploads."""
