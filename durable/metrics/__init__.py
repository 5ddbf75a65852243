"""`/metrics` for Prometheus: what the database knows of queues, workers, beat and backups.

An app adds its own by a `metrics.py` with a function ``metrics()``, found by its name (gauges.py).
"""
