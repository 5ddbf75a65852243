"""What begins code for ``manage.py shell`` that needs the users, whatever their model."""

from __future__ import annotations

USERS = "from django.contrib.auth import get_user_model; User = get_user_model(); "
