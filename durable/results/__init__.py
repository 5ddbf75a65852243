"""Celery's results in django-celery-results' tables, by a backend that outlives an outage."""
