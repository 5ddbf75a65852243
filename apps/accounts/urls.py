"""Where the pages of this app are; those of log-in and passwords are durable.accounts'."""

from django.conf import settings
from django.urls import URLPattern, path

from . import views

app_name = "accounts"
urlpatterns: list[URLPattern] = [
    path("accounts/tokens/", views.tokens, name="tokens"),
    path("accounts/tokens/<int:pk>/revoke/", views.revoke, name="token_revoke"),
]
if settings.SIGNUP:
    urlpatterns += [
        path("accounts/signup/", views.signup, name="signup"),
        path("accounts/signup/<str:token>/", views.signup_confirm, name="signup_confirm"),
    ]
