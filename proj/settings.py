"""Django's settings, from the environment. `.env.example` lists what a person may want to set.

Every value has a safe default, or stops the start with one line that says what is missing. Each
secret can stand in a file: ``X_FILE`` instead of ``X``. Celery's settings are in
celery_settings.py, those of what keeps its tasks in delivery_settings.py, and those of the
project's own apps in own_settings.py.
"""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from typing import Any

import django
from csp.constants import NONE, SELF

from durable import __version__
from durable.accounts import conf as _accounts
from durable.environment.reader import ConfigurationError, check
from durable.environment.time_zones import A_TIME_ZONE, time_zone
from durable.telemetry import conf as _telemetry

from .celery_settings import *  # noqa: F403 - CELERY_*, each with its reason
from .delivery_settings import *  # noqa: F403 - DURABLE_*, RESULTS_*, BEAT_*
from .environment import BASE_DIR, env
from .own_settings import OWN_APPS

# --- The process ---------------------------------------------------------------------------------

# Which role of docker/entrypoint.sh this process plays: web, worker, beat or nothing (by hand).
ROLE = env.text("APP_ROLE")
# The image's (docker/Dockerfile); of a clone, the code's.
APP_VERSION = env.text("APP_VERSION", __version__)
DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.required(
    "SECRET_KEY",
    "put a long random text into SECRET_KEY or into the file that SECRET_KEY_FILE names "
    "(`make run` and compose generate one at the first start)",
)
if len(SECRET_KEY) < 32:
    raise ConfigurationError(
        f"SECRET_KEY has {len(SECRET_KEY)} characters: expected 32 or more, all random"
    )
# Earlier keys, one a line: what they signed (sessions, links in mails) stays good.
SECRET_KEY_FALLBACKS = [key for key in env.text("SECRET_KEY_FALLBACKS").splitlines() if key]
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS", [])
# The site's name, by HTTPS, beside those above; Kubernetes' Ingress and Gateway read it too.
if _site := env.host("SITE_HOST"):
    ALLOWED_HOSTS.append(_site)
    CSRF_TRUSTED_ORIGINS.append(f"https://{_site}")
# The path below which a proxy serves the site, /app, whether it takes it off its requests or not
# (proj/wsgi.py). All links, redirects and cookies follow.
SITE_PATH = env.path("SITE_PATH")
FORCE_SCRIPT_NAME = SITE_PATH or None

# --- Apps ----------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",  # runserver then serves static files as gunicorn does
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "csp",
    "ninja",  # serves Swagger UI from here instead of from a CDN
    "django_celery_results",
    "django_celery_beat",
    *(["django_tasks"] if django.VERSION < (6,) else []),  # Django 6's framework for tasks
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "durable.telemetry",  # before what it watches
    "durable.checks",
    "durable.contracts",
    "durable.doctor",
    "durable.queue",
    "durable.journal",
    "durable.results",
    "durable.health",
    "durable.metrics",
    "durable.schedules",
    "durable.canary",
    "durable.alerts",
    "durable.schema",
    "durable.static",
    "durable.housekeeping",
    "durable.backups",
    "durable.logs",
    "durable.accounts",
    "durable.console",
    *OWN_APPS,
]

MIDDLEWARE = [
    "durable.logs.middleware.RequestIdMiddleware",  # the outermost: what any other logs has the id
    "durable.web.headers.SecurityHeaders",  # on the answers of all that follow
    # Before the others: a probe must not depend on hosts, sessions, redirects or the database.
    "durable.health.middleware.ProbeMiddleware",
    "durable.metrics.middleware.MetricsMiddleware",
    "durable.telemetry.middleware.TraceMiddleware",  # OTEL_EXPORTER_OTLP_ENDPOINT
    "durable.metrics.requests.RequestMetrics",
    "durable.web.problems.ApiProblems",
    "django.middleware.security.SecurityMiddleware",
    "durable.static.middleware.StaticFiles",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "durable.web.bodies.BodyLimits",  # before the CSRF check reads a form
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "durable.accounts.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "durable.web.outage.DatabaseErrors",
]

# A page's queries and times beside it: where its package is, in `make dev` alone.
if DEBUG and find_spec("debug_toolbar"):
    from durable.web import toolbar

    INSTALLED_APPS.append("debug_toolbar")
    MIDDLEWARE.insert(0, "debug_toolbar.middleware.DebugToolbarMiddleware")
    DEBUG_TOOLBAR_CONFIG = toolbar.CONFIG

# The tasks of the last release, which this code must be able to run: `manage.py check_tasks`.
RELEASED_TASKS = BASE_DIR / "proj" / "released-tasks.txt"

ROOT_URLCONF = "proj.urls"
WSGI_APPLICATION = "proj.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "proj" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database ------------------------------------------------------------------------------------

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# gunicorn's threads in one web process; each can hold one connection.
WEB_THREADS = env.integer("WEB_THREADS", 4, least=1)

# Pooling is a setting of the role. A web process' threads share a pool as large as they are many.
# A worker's child runs one task at a time and needs one connection, which it keeps (see
# CELERY_DB_REUSE_MAX); a pool there would be closed and opened again at every task
# boundary (celery#10554).
DATABASE_POOL_MAX_SIZE = env.integer("DATABASE_POOL_MAX_SIZE", WEB_THREADS if ROLE == "web" else 0)
DATABASE_POOL_MIN_SIZE = env.integer("DATABASE_POOL_MIN_SIZE", min(1, DATABASE_POOL_MAX_SIZE))
if DATABASE_POOL_MIN_SIZE > DATABASE_POOL_MAX_SIZE:
    raise ConfigurationError(
        f"DATABASE_POOL_MIN_SIZE={DATABASE_POOL_MIN_SIZE}: expected at most "
        f"DATABASE_POOL_MAX_SIZE, which is {DATABASE_POOL_MAX_SIZE}"
    )

# A migration comes as the owner of the tables; all others may only read and write rows
# (durable/schema/privileges.py). Where no owner is named, there is one role for both.
_migrates = ROLE == "migrate" or sys.argv[1:2] == ["migrate"]
_database: dict[str, Any] = env.database(
    "OWNER_DATABASE_URL" if _migrates and env.text("OWNER_DATABASE_URL") else "DATABASE_URL",
    "put postgresql://USER:PASSWORD@HOST:PORT/NAME into DATABASE_URL or into the file that "
    "DATABASE_URL_FILE names, or start the stack with its own database by `make run`",
)
_database["ENGINE"] = "durable.database.postgresql"
_database["CONN_HEALTH_CHECKS"] = True
_database["OPTIONS"] = {
    # A database that is gone must be noticed in seconds: a prefork parent writes results too, and
    # its event loop stands still meanwhile.
    "connect_timeout": 5,
    "tcp_user_timeout": 15_000,  # milliseconds
    # One that is gone while it works on a query is noticed by these: 10 + 3 × 5 s. The system's own
    # interval is 75 s, longer than a task waits to store its result.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # After a failover the name may still lead to a server that only reads: that counts as away, or
    # a task that meets it would fail for good. `?target_session_attrs=any` lets one be used.
    "target_session_attrs": "read-write",
    "application_name": f"proj-{ROLE or 'manage'}",
    **_database.get("OPTIONS", {}),
}
if DATABASE_POOL_MAX_SIZE:
    _database["OPTIONS"]["pool"] = {
        "min_size": DATABASE_POOL_MIN_SIZE,
        "max_size": DATABASE_POOL_MAX_SIZE,
        # Seconds. With one for each thread, who waits for a connection waits for a database that is
        # away, and asks again (durable/database/postgresql); with fewer, for another request that
        # is about to end.
        "timeout": 1 if DATABASE_POOL_MAX_SIZE >= WEB_THREADS else 10,
        # The pool itself tries again after ever longer pauses; who asks again can do better.
        "reconnect_timeout": 1,
    }
elif ROLE in {"worker", "beat"}:
    _database["CONN_MAX_AGE"] = None  # kept until it breaks; see durable/database/connections.py
DATABASES = {"default": _database}
DATABASE_ROUTERS = ["durable.database.cache.CacheRouter"]

# In PostgreSQL, so that every process of every role sees the same entries, and so that the result
# backend `django-cache` works across them. `entrypoint migrate` creates the table. What is written
# inside of a transaction is seen at once: see durable/database/cache.py.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "django_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# Django's own API for tasks, over the same rows as Celery's: docs/tasks.md.
TASKS = {"default": {"BACKEND": "durable.django_tasks.Backend", "QUEUES": []}}

# --- Sign-in -------------------------------------------------------------------------------------

# Limits, the audit log, staff: declared in durable/accounts/conf.py.
globals().update(_accounts.ACCOUNT.given(env))
AUTHENTICATION_BACKENDS = ["durable.accounts.backends.LimitedBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": env.integer("PASSWORD_MIN_LENGTH", 12, least=8)},
    },
    {"NAME": "durable.accounts.passwords.MaximumLengthValidator"},
    {"NAME": "durable.accounts.passwords.UncommonValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "durable.accounts.passwords.ChangeObserver"},
]
PASSWORD_RESET_TIMEOUT = 3600  # seconds that a link in a mail is good for
# Seconds that a log-in holds; that of staff for ACCOUNT_STAFF_SESSION_HOURS.
SESSION_COOKIE_AGE = env.integer("SESSION_COOKIE_AGE", 14 * 24 * 3600, least=60)
LOGIN_URL = "account:login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = f"{SITE_PATH}/"
# Proxies in front of the web role whose X-Forwarded-For can be believed: limits and the audit log.
NINJA_NUM_PROXIES = TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0)
# durable.accounts limits wrong codes and tells the person; django-otp would lock out for days.
OTP_TOTP_THROTTLE_FACTOR = OTP_STATIC_THROTTLE_FACTOR = 0
OTP_TOTP_ISSUER = env.text("SITE_HOST") or "proj"  # the name in an authenticator app
OTP_ADMIN_HIDE_SENSITIVE_DATA = True

# --- Mail ----------------------------------------------------------------------------------------

DEFAULT_FROM_EMAIL = env.sender("DEFAULT_FROM_EMAIL", "proj <noreply@localhost>")
# Without a server, mail becomes files in a folder that a person can open.
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = env.text("EMAIL_FILE_PATH", str(BASE_DIR / ".local" / "mail"))
EMAIL_TIMEOUT = 10  # seconds
globals().update(env.email("EMAIL_URL"))

# --- Health --------------------------------------------------------------------------------------

# Where a worker and beat leave their heartbeats, for docker/healthcheck, which starts no Django and
# reads the same three. Two stacks on one machine need a folder each.
HEARTBEAT_DIR = env.text("HEARTBEAT_DIR") or env.text("TMPDIR") or "/tmp"  # noqa: S108
# Seconds without a heartbeat after which a worker or beat counts as unhealthy. A worker's event
# loop may stand still for as long as a database that is gone lets it wait (see OPTIONS above).
HEARTBEAT_MAX_AGE = env.integer("HEARTBEAT_MAX_AGE", 30, least=2)

# Requests with it may read /metrics; without it there is no such page.
METRICS_TOKEN = env.text("METRICS_TOKEN")

# --- Traces, errors: docs/monitoring.md ----------------------------------------------------------

# OTEL_*, SENTRY_*: declared in durable/telemetry/conf.py.
globals().update(_telemetry.given(env))
# Each statement says in a comment which request or task it is of; what is prepared doesn't.
SQL_COMMENTS = env.boolean("SQL_COMMENTS", False)

# --- Checks: `manage.py check --deploy`, and before a role starts (docs/settings-checks.md) -------

# Seconds between TERM and KILL that the supervisor of a worker (compose, Kubernetes, systemd,
# `make run`) gives it; the process can't see it for itself.
WORKER_GRACE_PERIOD = env.integer("WORKER_GRACE_PERIOD", 70, least=1)
# The queues that a worker takes from (docker/entrypoint.sh); all, if it isn't set.
WORKER_QUEUES = env.names("WORKER_QUEUES", [])
# How many of each role there are, to add up their database connections.
WEB_REPLICAS = env.integer("WEB_REPLICAS", 1)
WORKER_REPLICAS = env.integer("WORKER_REPLICAS", env.integer("WORKERS", 1))
BEAT_REPLICAS = env.integer("BEAT_REPLICAS", 1)

SILENCED_SYSTEM_CHECKS = [
    # HTTPS_ONLY switches all four, and proj.W102 is the one warning for it: no HSTS, no redirect to
    # HTTPS, cookies over HTTP.
    "security.W004",
    "security.W008",
    "security.W012",
    "security.W016",
    # Whether HSTS holds for all names below this one, and whether browsers are to know the domain
    # as HTTPS only before they have been there: decisions of its owner, hard to take back.
    "security.W005",
    "security.W021",
    # Wants 50 characters; proj.W105 looks at how random they are.
    "security.W009",
    # Those that a person has decided about: SILENCED_CHECKS=proj.W104,proj.W012
    *env.names("SILENCED_CHECKS", []),
]

# --- Language, time, static files ----------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# Not "static/", below which Django would put the path of the first request, or none in a worker.
STATIC_URL = f"{SITE_PATH}/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "proj" / "static"]
STORAGES = {
    # For files that users upload this must be a storage outside of the containers, which keep none
    # (README.md, "Put your own app in its place").
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        # Hashed names and compressed copies are made by collectstatic, at build; without them
        # (development, tests) the files are served as they are.
        "BACKEND": "durable.web.storage.ModuleStaticFilesStorage"
        if (STATIC_ROOT / "staticfiles.json").is_file() and not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_ALLOW_ALL_ORIGINS = False  # for fonts of a CDN; the files are on the pages' own origin
WHITENOISE_USE_FINDERS = not (STATIC_ROOT / "staticfiles.json").is_file()
if WHITENOISE_USE_FINDERS:
    # whitenoise misses the folder that collectstatic makes; here nothing is collected.
    warnings.filterwarnings("ignore", "No directory at", UserWarning)

# --- Security ------------------------------------------------------------------------------------

# Behind a proxy that speaks HTTPS, as SITE_HOST has one: cookies over HTTPS only, redirect, HSTS.
HTTPS_ONLY = env.boolean("HTTPS_ONLY", bool(_site))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS_ONLY
# A browser that was here once refuses HTTP for so long, whatever is changed here. For other names
# below this one only if the domain's owner says so: some may have no HTTPS.
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 31_536_000) if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.boolean("SECURE_HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS_ONLY else None
SESSION_COOKIE_HTTPONLY = True
if HTTPS_ONLY:
    # Browsers take such a cookie from this very name by HTTPS, and from none below or above it.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
if SITE_PATH:
    # The site at another path of the same name has cookies too; a browser sends those of / here.
    SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = LANGUAGE_COOKIE_PATH = SITE_PATH
    _own = SITE_PATH.strip("/").replace("/", "-")
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{_own}-sessionid", f"{_own}-csrftoken"
    MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# Larger bodies than this are refused unread, but for the views below (own_settings.py).
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes
UPLOAD_VIEWS: tuple[str, ...] = ()

# --- Logging -------------------------------------------------------------------------------------

LOG_LEVEL = env.get(
    "LOG_LEVEL",
    "INFO",
    lambda value: {name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR")}[value.upper()],
    "DEBUG, INFO, WARNING or ERROR",
)
# text for people, json for what collects logs: one object a line (durable/logs).
# docker/entrypoint.sh and docker/gunicorn.conf.py read it as well.
LOG_FORMAT = env.get(
    "LOG_FORMAT", "text", lambda value: {"text": "text", "json": "json"}[value], "text or json"
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "[%(asctime)s: %(levelname)s/%(name)s] %(message)s"},
        "json": {"()": "durable.logs.formatter.JsonFormatter"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            # With json, sys.stderr may lead here by now: Celery's loader sets Django up again.
            "stream": "ext://sys.__stderr__" if LOG_FORMAT == "json" else "ext://sys.stderr",
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # With DEBUG Django has handlers of its own, for text.
    "loggers": {"django": {"handlers": []}, "django.server": {"handlers": [], "propagate": True}}
    if LOG_FORMAT == "json" and DEBUG
    else {},
}

# --- Your own apps -------------------------------------------------------------------------------

from .own_settings import *  # noqa: E402, F403

# --- What must hold, wherever it was changed ----------------------------------------------------

for _name in ("TIME_ZONE", "CELERY_TIMEZONE"):
    check(_name, globals()[_name], time_zone, A_TIME_ZONE)
