"""Answers for what no view can know of: errors of the JSON API, an outage, static files' names."""
