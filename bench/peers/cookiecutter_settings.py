"""The Celery settings of cookiecutter-django's config/settings, on the benchmark's servers."""

from __future__ import annotations

from bench.documented_settings import CELERY_TASK_DEFAULT_QUEUE as CELERY_TASK_DEFAULT_QUEUE
from bench.documented_settings import DATABASES as DATABASES
from bench.documented_settings import DEFAULT_AUTO_FIELD as DEFAULT_AUTO_FIELD
from bench.documented_settings import SECRET_KEY as SECRET_KEY
from bench.documented_settings import USE_TZ as USE_TZ
from proj import settings as project

INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_beat"]
DATABASES["default"]["ATOMIC_REQUESTS"] = True
DATABASES["default"]["CONN_MAX_AGE"] = 60

CELERY_TIMEZONE = "UTC"
CELERY_BROKER_URL = project.CELERY_BROKER_URL
CELERY_RESULT_BACKEND = project.CELERY_BROKER_URL
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_BACKEND_ALWAYS_RETRY = True
CELERY_RESULT_BACKEND_MAX_RETRIES = 10
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_TASK_TIME_LIMIT = 5 * 60
CELERY_TASK_SOFT_TIME_LIMIT = 60
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
