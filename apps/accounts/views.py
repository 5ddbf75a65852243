"""The pages of this app: sign-up in two steps, and the tokens of the API."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core import signing
from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from durable.accounts.forms import Mailbox
from durable.accounts.views import mail_allowed, site

from . import tokens as api_tokens
from .forms import SignupForm
from .tasks import MAX_AGE, SALT, send_signup_link, send_welcome_email


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def signup(request: HttpRequest) -> HttpResponse:
    """Have a link sent. Nothing is stored, and the answer doesn't say who has an account."""
    if request.user.is_authenticated:
        return redirect("start")
    form = Mailbox(request.POST or None, label_suffix="")
    if request.method != "POST" or not form.is_valid():
        status = 422 if form.errors else 200
        return render(request, "accounts/signup.html", {"form": form}, status=status)
    if mail_allowed(request, form.cleaned_data["email"]):
        send_signup_link.delay_on_commit(form.cleaned_data["email"], site(request))
    return render(request, "account/mail_sent.html")


@sensitive_post_parameters("password1", "password2")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def signup_confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Create the account of the mailbox that got the link, and log in."""
    try:
        mailbox = signing.loads(token, salt=SALT, max_age=MAX_AGE)
    except signing.BadSignature:
        messages.error(request, "This link is not good any more. Have another one sent.")
        return redirect("accounts:signup")
    # So that a name or a password like it is refused, too.
    form = SignupForm(request.POST or None, instance=User(email=mailbox))
    if request.method == "POST" and form.is_valid():
        try:
            created = _create_account(request, form)
        except IntegrityError:
            # Somebody took the name between the form's check and now.
            form.add_error("username", "A user with that username already exists.")
        else:
            if not created:
                messages.error(request, "This link was used: the account is there. Log in.")
            return redirect("start" if created else "account:login")
    context = {"form": form, "mailbox": mailbox}
    status = 422 if form.errors else 200
    return render(request, "accounts/signup_confirm.html", context, status=status)


@transaction.atomic
def _create_account(request: HttpRequest, form: SignupForm) -> bool:
    mailbox = form.instance.email
    with connection.cursor() as cursor:  # two clicks on one link make one account
        lock = f"signup {mailbox.casefold()}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
    if User.objects.filter(email__iexact=mailbox).exists():
        return False
    user = form.save()
    login(request, user)
    # Not delay(): a worker could look for the user before the transaction is committed, and would
    # send a mail for one that is rolled back. And without a broker, this one waits for it.
    send_welcome_email.delay_on_commit(user.pk)
    return True


@never_cache
@login_required
def tokens(request: HttpRequest) -> HttpResponse:
    """List the tokens of the API that are good."""
    mine = api_tokens.tokens_of(request.user)
    return render(request, "accounts/tokens.html", {"tokens": mine[:100]})


@require_POST
@login_required
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """End one."""
    api_tokens.revoke(request.user, pk)
    messages.success(request, "The token is revoked.")
    return redirect("accounts:tokens")
