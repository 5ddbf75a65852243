"""The settings that "First steps with Django" shows, on the benchmark's servers."""

from __future__ import annotations

from proj import settings as project

SECRET_KEY = project.SECRET_KEY
USE_TZ = True
DEFAULT_AUTO_FIELD = project.DEFAULT_AUTO_FIELD
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_celery_results"]
DATABASES = {
    "default": {
        name: value
        for name, value in project.DATABASES["default"].items()
        if name in {"ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT"}
    }
}
# Where it is, if that is a socket's folder.
DATABASES["default"]["OPTIONS"] = {
    name: value for name, value in project.DATABASES["default"]["OPTIONS"].items() if name == "host"
}
CELERY_BROKER_URL = project.CELERY_BROKER_URL
CELERY_TIMEZONE = "UTC"
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_TIME_LIMIT = 30 * 60
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = project.CELERY_RESULT_EXTENDED  # so that all store the same
# Its name alone, so that all take from the same queue.
CELERY_TASK_DEFAULT_QUEUE = project.CELERY_TASK_DEFAULT_QUEUE
