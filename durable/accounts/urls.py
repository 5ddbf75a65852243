"""Where the pages of an account are."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from . import views

app_name = "account"
urlpatterns = [
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
]
