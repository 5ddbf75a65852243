"""The JSON API: every app's ``api.router``."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja.errors import AuthenticationError
from ninja.openapi.docs import Swagger

from durable.discovery import modules
from durable.web.api import Api
from durable.web.problems import problem

api = Api(
    title="proj",
    version="1.0.0",
    urls_namespace="api",  # else the version is part of every URL's name
    description="Errors are problem details as RFC 9457 has them.",
    docs=Swagger(settings={"persistAuthorization": False, "defaultModelsExpandDepth": 0}),
)


@api.exception_handler(AuthenticationError)
def _unauthorized(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return problem(
        401,
        "Not authenticated",
        "Send a token from POST /api/token as `Authorization: Bearer <token>`.",
    )


for _module in modules("api"):
    if hasattr(_module, "router"):
        api.add_router("", _module.router)
