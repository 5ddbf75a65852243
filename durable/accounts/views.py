"""The pages of an account; logging in and out are Django's own views."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import messages
from django.contrib.auth import views as djangos
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from . import audit, forms, limits, second_factor
from . import tokens as api_tokens
from .backends import refuse
from .passwords import EASY
from .recent import STAMP, next_page, recent_login_required
from .tasks import send_password_link

PAGE = require_http_methods(["GET", "HEAD", "POST"])


class Invalid422:
    """Answers a form that isn't valid with 422."""

    def form_invalid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_invalid(form)  # type: ignore[misc]
        response.status_code = 422
        return response


class LogIn(Invalid422, djangos.LoginView):
    """Django's log-in page."""

    template_name = "account/login.html"
    authentication_form = forms.LogInForm
    redirect_authenticated_user = True


class PasswordChange(Invalid422, djangos.PasswordChangeView):
    """Django's page to change the password; every token and other session ends with the old one."""

    template_name = "account/password_change.html"
    form_class = forms.LimitedPasswordChange
    success_url = reverse_lazy("account:password_change")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "label_suffix": ""}

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is changed.")
        self.request.session.pop(EASY, None)
        return super().form_valid(form)


class PasswordResetConfirm(Invalid422, djangos.PasswordResetConfirmView):
    """Django's page behind the link of the mail."""

    template_name = "account/password_reset_confirm.html"
    form_class = forms.NewPassword
    success_url = reverse_lazy("account:login")

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        # Who reads the mailbox gets in, whatever strangers have tried meanwhile.
        self.request.known_user = self.user  # type: ignore[attr-defined]
        messages.success(self.request, "Your password is changed. Log in with the new one.")
        return response


@never_cache
@PAGE
def password_reset(request: HttpRequest) -> HttpResponse:
    """Have a link sent; the answer doesn't say who has an account."""
    form = forms.Mailbox(request.POST or None, label_suffix="")
    if request.method != "POST" or not form.is_valid():
        status = 422 if form.errors else 200
        return render(request, "account/password_reset.html", {"form": form}, status=status)
    if mail_allowed(request, form.cleaned_data["email"]):
        audit.record("password link asked for")
        send_password_link.delay_on_commit(form.cleaned_data["email"], site(request))
    return render(request, "account/mail_sent.html")


def mail_allowed(request: HttpRequest, mailbox: str) -> bool:
    """Return whether a stranger may cause one more mail to *mailbox*; else the answer is 429."""
    wait = limits.mail(request, mailbox)
    if wait:
        refuse(request, wait, "mail refused", None)
    return not wait


def site(request: HttpRequest) -> str:
    """Return what stands in front of a path in a mail's link; ALLOWED_HOSTS has it."""
    return f"{request.scheme}://{request.get_host()}"


@sensitive_post_parameters("code")
@never_cache
@PAGE
@login_required
def second_factor_due(request: HttpRequest) -> HttpResponse:
    """Ask for the code that a log-in lacks."""
    if request.session.get(second_factor.STATE) != second_factor.DUE:
        return redirect(next_page(request))
    form = forms.Code(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        if second_factor.verify(request, request.user, form.cleaned_data["code"]):
            request.session.cycle_key()
            request.session[second_factor.STATE] = second_factor.PASSED
            request.known_user = request.user  # type: ignore[attr-defined]
            audit.record("logged in", request.user, "with the second factor")
            return redirect(next_page(request))
        form.add_error("code", "This code is wrong, or it was used already.")
    context = {"form": form, "next": next_page(request)}
    status = 422 if form.errors else 200
    return render(request, "account/second_factor.html", context, status=status)


@sensitive_post_parameters("code")
@never_cache
@PAGE
@login_required
@recent_login_required
def second_factor_setup(request: HttpRequest) -> HttpResponse:
    """Set up an authenticator app, and show the recovery codes once."""
    form = forms.Code(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        if codes := second_factor.add(request.user, form.cleaned_data["code"]):
            request.session.cycle_key()
            request.session[second_factor.STATE] = second_factor.PASSED
            shown = {"codes": codes, "next": next_page(request)}
            return render(request, "account/recovery_codes.html", shown)
        form.add_error("code", "This code is wrong. Does the clock of your device go right?")
    device = second_factor.proposed(request.user)
    context = {
        "form": form,
        "has": second_factor.has(request.user),
        "key": second_factor.key(device),
        "picture": second_factor.picture(device),
        "next": next_page(request),
    }
    status = 422 if form.errors else 200
    return render(request, "account/second_factor_setup.html", context, status=status)


@require_POST
@login_required
@recent_login_required
def second_factor_remove(request: HttpRequest) -> HttpResponse:
    """Go back to the password alone."""
    second_factor.remove(request.user)
    request.session.pop(second_factor.STATE, None)
    messages.success(request, "Your second factor is removed.")
    return redirect("account:second_factor_setup")


@sensitive_post_parameters("password", "code")
@never_cache
@PAGE
@login_required
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask for the password again, and for the second factor of who has one."""
    asked: list[Any] = [forms.Password(request.POST or None, label_suffix="")]
    if second_factor.has(request.user):
        asked.append(forms.Code(request.POST or None, label_suffix=""))
    valid = [form.is_valid() for form in asked]
    if all(valid):
        if _is_confirmed(request, asked):
            request.session[STAMP] = int(time.time())
            return redirect(next_page(request))
        asked[0].add_error(None, "That is not right. Try again.")
    context = {"forms": asked, "next": next_page(request)}
    status = 422 if any(form.errors for form in asked) else 200
    return render(request, "account/confirm.html", context, status=status)


def _is_confirmed(request: HttpRequest, asked: list[Any]) -> bool:
    given = {name: value for form in asked for name, value in form.cleaned_data.items()}
    if not forms.is_password(request.user, given["password"]):
        return False
    if "code" not in given:
        return True
    return second_factor.verify(request, request.user, given["code"])


@never_cache
@login_required
def tokens(request: HttpRequest) -> HttpResponse:
    """List the tokens of the API that are good."""
    mine = api_tokens.tokens_of(request.user)
    return render(request, "account/tokens.html", {"tokens": mine[:100]})


@require_POST
@login_required
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """End one."""
    api_tokens.revoke(request.user, pk)
    messages.success(request, "The token is revoked.")
    return redirect("account:tokens")
