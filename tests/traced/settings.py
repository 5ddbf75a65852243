"""The project's settings, with the page of this folder."""

from proj.settings import *  # noqa: F403

ROOT_URLCONF = "tests.traced.urls"
