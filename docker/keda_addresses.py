"""The keys that KEDA reads: where PostgreSQL and Redis are, as seen from its own namespace.

There `postgres` is no name; `postgres.<namespace>.svc` is. KEDA's Redis scaler wants the address
and the password apart. Both follow the two URLs, also after a person or a rotation has changed
those.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

OWN_AUTHORITY = "/run/secrets/stores/ca.crt"


def from_anywhere(host: str, namespace: str) -> str:
    """Return *host* as other namespaces know it; a full name or an address stays."""
    return host if "." in host or ":" in host else f"{host}.{namespace}.svc"


def keys(database: str, broker: str, namespace: str) -> dict[str, str]:
    """Return what follows from the two URLs; nothing for a broker that is no Redis."""
    found = {}
    parts = urlsplit(database)
    if parts.hostname:
        login, at, place = parts.netloc.rpartition("@")
        place = place.replace(parts.hostname, from_anywhere(parts.hostname, namespace), 1)
        # With k8s/components/tls: KEDA's operator has no file of this namespace.
        query = "sslmode=require" if OWN_AUTHORITY in parts.query else parts.query
        parts = parts._replace(netloc=login + at + place, query=query)
        found["keda_database_url"] = urlunsplit(parts)
    parts = urlsplit(broker)
    if parts.scheme in {"redis", "rediss"} and parts.hostname:
        host = from_anywhere(parts.hostname, namespace)
        host = f"[{host}]" if ":" in host else host
        found["keda_redis_address"] = f"{host}:{parts.port or 6379}"
        found["keda_redis_username"] = unquote(parts.username or "")
        found["keda_redis_password"] = unquote(parts.password or "")
    return found


def changed(app: Mapping[str, str], namespace: str) -> dict[str, str]:
    """Return the keys that the Secret *app* lacks, or has for another URL."""
    try:
        wanted = keys(app.get("database_url", ""), app.get("celery_broker_url", ""), namespace)
    except ValueError:  # it quotes a part of the password; the roles say what is wrong
        return {}
    return {key: text for key, text in wanted.items() if app.get(key) != text}
