"""This project's settings, with the databases and the id's length of django-celery-results'."""

from proj.settings import *  # noqa: F403
from proj.settings import DATABASES

DATABASES["default"]["TEST"] = {"NAME": "test_upstream"}
for _alias in ("secondary", "read-only"):
    DATABASES[_alias] = {**DATABASES["default"], "TEST": {"MIRROR": "default"}}
