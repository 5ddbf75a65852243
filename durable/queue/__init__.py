"""Durable tasks: rows in PostgreSQL that Celery's workers run. docs/protocol.md says how."""
