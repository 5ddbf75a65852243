"""Where the pages of an account are."""

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, path

from . import conf, signup, views

app_name = "account"
urlpatterns: list[URLPattern] = [
    path("accounts/login/", views.LogIn.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("accounts/password/", views.PasswordChange.as_view(), name="password_change"),
    path("accounts/reset/", views.password_reset, name="password_reset"),
    path(
        "accounts/reset/<uidb64>/<token>/",
        views.PasswordResetConfirm.as_view(),
        name="password_reset_confirm",
    ),
    path("accounts/second-factor/", views.second_factor_due, name="second_factor"),
    path("accounts/second-factor/setup/", views.second_factor_setup, name="second_factor_setup"),
    path("accounts/second-factor/remove/", views.second_factor_remove, name="second_factor_remove"),
    path("accounts/confirm/", views.confirm, name="confirm"),
    path("accounts/tokens/", views.tokens, name="tokens"),
    path("accounts/tokens/<int:pk>/revoke/", views.token_revoke, name="token_revoke"),
]
if conf.get("SIGNUP"):
    urlpatterns += [
        path("accounts/signup/", signup.ask, name="signup"),
        path("accounts/signup/<str:token>/", signup.confirm, name="signup_confirm"),
    ]
