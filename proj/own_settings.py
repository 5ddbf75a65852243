"""The settings of the project's own apps: today the example's. Your app takes its place, and yours.

settings.py takes these over at its end, so what stands here wins.
"""

from __future__ import annotations

from .environment import env

# Found by their names in each: urls.py, api.py, tasks.py, schedules.py.
OWN_APPS = ["apps.reports", "django.contrib.humanize"]

# Accounts are made by their owners. Without this line, in the admin (durable/accounts/conf.py).
ACCOUNT_SIGNUP = env.boolean("ACCOUNT_SIGNUP", True)

# --- apps.reports --------------------------------------------------------------------------------

# The views that take files, by their names (durable/web/bodies.py).
UPLOAD_VIEWS: tuple[str, ...] = ("reports:home", "api:create_report")
REPORTS_MAX_UPLOAD_MB = env.integer("REPORTS_MAX_UPLOAD_MB", 500, least=1)
# Of one person: reports and the size of their files, uploads at once and within an hour. 0: any.
REPORTS_KEPT = env.integer("REPORTS_KEPT", 2000)
REPORTS_KEPT_MB = env.integer("REPORTS_KEPT_MB", 10_000)
REPORTS_UPLOADS_AT_ONCE = env.integer("REPORTS_UPLOADS_AT_ONCE", 10)
REPORTS_UPLOADS_PER_HOUR = env.integer("REPORTS_UPLOADS_PER_HOUR", 500)
# Of all together: files that wait for the workers, who take them out of the database. 0: any.
REPORTS_UNPROCESSED_MB = env.integer("REPORTS_UNPROCESSED_MB", 5000)
REPORTS_CHUNK_KB = env.integer("REPORTS_CHUNK_KB", 1024, least=16)
REPORTS_EXPIRE_DAYS = env.integer("REPORTS_EXPIRE_DAYS", 30, least=1)
# Values of a column that are counted exactly; beyond it, distinct values are estimated.
REPORTS_EXACT_DISTINCT = env.integer("REPORTS_EXACT_DISTINCT", 10_000, least=64)
