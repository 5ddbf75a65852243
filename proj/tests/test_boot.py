"""The project starts."""

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_the_checks_pass_and_no_migration_is_missing() -> None:
    call_command("check")
    call_command("makemigrations", "--check", "--dry-run")
