"""A page and tasks that are traced; web has it by ``DJANGO_SETTINGS_MODULE``."""
