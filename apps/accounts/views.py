"""The pages of this app; logging in and out are Django's own views."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.views import LoginView
from django.contrib.auth.views import PasswordChangeView as DjangosPasswordChange
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from .forms import LimitedLogin, SignupForm
from .tasks import send_welcome_email


@sensitive_post_parameters("password1", "password2")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def signup(request: HttpRequest) -> HttpResponse:
    """Create an account, log in, and have a mail sent."""
    if request.user.is_authenticated:
        return redirect("start")
    form = SignupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            _create_account(request, form)
        except IntegrityError:
            # Somebody took the name between the form's check and now.
            form.add_error("username", "A user with that username already exists.")
        else:
            return redirect("start")
    status = 422 if form.errors else 200
    return render(request, "accounts/signup.html", {"form": form}, status=status)


@transaction.atomic
def _create_account(request: HttpRequest, form: SignupForm) -> None:
    user = form.save()
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    # Not delay(): a worker could look for the user before the transaction is committed, and would
    # send a mail for one that is rolled back. And without a broker, this one waits for it.
    send_welcome_email.delay_on_commit(user.pk)


class LogIn(LoginView):
    """Django's log-in page, with limited attempts."""

    template_name = "accounts/login.html"
    authentication_form = LimitedLogin
    redirect_authenticated_user = True

    def form_invalid(self, form: LimitedLogin) -> HttpResponse:  # type: ignore[override]
        throttled = form.has_error("__all__", LimitedLogin.THROTTLED)
        return self.render_to_response(
            self.get_context_data(form=form), status=429 if throttled else 422
        )


class PasswordChange(DjangosPasswordChange):
    """Django's page to change the password; every token of the API is void afterwards."""

    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("accounts:password_change")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "label_suffix": ""}

    def form_valid(self, form):  # type: ignore[no-untyped-def]
        messages.success(self.request, "Your password is changed.")
        return super().form_valid(form)
