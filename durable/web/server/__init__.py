"""gunicorn's worker for the open internet: clients that are slow cost memory and no thread."""
