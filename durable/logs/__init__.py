"""Log lines as text or JSON, with the ids of their request and task."""
