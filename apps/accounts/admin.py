"""The admin's log-in page, limited as the site's own is. (Users are in Django's own admin.)"""

from django.contrib import admin

from .forms import LimitedAdminLogin

admin.site.login_form = LimitedAdminLogin
