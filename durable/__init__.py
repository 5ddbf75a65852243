"""Durable tasks for Django and Celery: a row in PostgreSQL for each call, effects exactly once."""

__version__ = "0.1.0"
