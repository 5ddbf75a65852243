"""Creates the first admin where no superuser is; run by the stack as ``python -m``.

The password comes through the environment (ADMIN_PASSWORD). The last line of the output is one
word for the stack: ``created``; ``known``, the password is still the generated one; ``changed``,
it isn't; ``others``, there are superusers, and none of this name.
"""

from __future__ import annotations

import os

import django

NAME = "admin"


def ensure(password: str) -> str:
    """Return what became of the admin; see above."""
    from django.contrib.auth import get_user_model

    users = get_user_model()._default_manager
    admin = users.filter(**{get_user_model().USERNAME_FIELD: NAME}, is_superuser=True).first()
    if admin is not None:
        return "known" if admin.check_password(password) else "changed"
    if users.filter(is_superuser=True).exists():
        return "others"
    users.create_superuser(NAME, "admin@localhost", password)
    return "created"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")
    django.setup()
    print(ensure(os.environ["ADMIN_PASSWORD"]))
