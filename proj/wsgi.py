"""The WSGI entry point that gunicorn loads."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from durable.wsgi import get_wsgi_application

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")

_site = get_wsgi_application()


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer below SITE_PATH, and without it too: a proxy's requests that lack it, and probes.

    Django takes FORCE_SCRIPT_NAME for its links, and never off a request's path. gunicorn's own
    SCRIPT_NAME refuses each request without it.
    """
    from django.conf import settings

    path, below = environ["PATH_INFO"], settings.SITE_PATH
    if f"{path}/".startswith(f"{below}/"):
        environ["PATH_INFO"] = path.removeprefix(below)
    return _site(environ, start_response)
