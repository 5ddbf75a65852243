"""Creates the first admin where no superuser is; run by the stack as ``python -m``.

The password comes through the environment (ADMIN_PASSWORD). The last line of the output is for the
stack, a word and the admin's name: ``created``; ``known``, the password is still the generated one;
``changed``, it isn't; ``others``, there are superusers, and none of this name; ``unknown``, your
user model asks for what only you know.
"""

from __future__ import annotations

import os

import django

#: What a user model may ask for.
VALUES = {"username": "admin", "email": "admin@localhost"}


def ensure(password: str) -> tuple[str, str]:
    """Return what became of the admin, and its name; see above."""
    from django.contrib.auth import get_user_model

    model = get_user_model()
    users = model._default_manager
    login = model.USERNAME_FIELD
    if {login, *model.REQUIRED_FIELDS} - set(VALUES):
        return "unknown", "-"
    given = {field: VALUES[field] for field in (login, *model.REQUIRED_FIELDS)}
    admin = users.filter(**{login: given[login]}, is_superuser=True).first()
    if admin is not None:
        return "known" if admin.check_password(password) else "changed", given[login]
    if users.filter(is_superuser=True).exists():
        return "others", "-"
    users.create_superuser(**given, password=password)
    return "created", given[login]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")
    django.setup()
    print(*ensure(os.environ["ADMIN_PASSWORD"]))
