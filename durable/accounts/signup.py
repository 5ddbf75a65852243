"""Sign-up in two steps (``ACCOUNT_SIGNUP``): a mailbox gets a link, and its owner an account."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import get_user_model, login
from django.core import signing
from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from .forms import Mailbox, SignUp
from .tasks import SIGNUP, SIGNUP_MAX_AGE, account_of, send_signup_link, tell
from .views import PAGE, mail_allowed, site


@never_cache
@PAGE
def ask(request: HttpRequest) -> HttpResponse:
    """Have a link sent. Nothing is stored, and the answer doesn't say who has an account."""
    if request.user.is_authenticated:
        return redirect("start")
    form = Mailbox(request.POST or None, label_suffix="")
    if request.method != "POST" or not form.is_valid():
        status = 422 if form.errors else 200
        return render(request, "account/signup.html", {"form": form}, status=status)
    if mail_allowed(request, form.cleaned_data["email"]):
        send_signup_link.delay_on_commit(form.cleaned_data["email"], site(request))
    return render(request, "account/mail_sent.html")


@sensitive_post_parameters("password1", "password2")
@never_cache
@PAGE
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Create the account of the mailbox that got the link, and log in."""
    try:
        mailbox = signing.loads(token, salt=SIGNUP, max_age=SIGNUP_MAX_AGE)
    except signing.BadSignature:
        messages.error(request, "This link is not good any more. Have another one sent.")
        return redirect("account:signup")
    # So that a name or a password like it is refused, too.
    model = get_user_model()
    form = SignUp(request.POST or None, instance=model(**{model.get_email_field_name(): mailbox}))
    if request.method == "POST" and form.is_valid():
        try:
            created = _create(request, form, mailbox)
        except IntegrityError:
            # Somebody took the name between the form's check and now.
            form.add_error(None, "A user with that name already exists.")
        else:
            if not created:
                messages.error(request, "This link was used: the account is there. Log in.")
            return redirect("start" if created else "account:login")
    context = {"form": form, "mailbox": mailbox}
    status = 422 if form.errors else 200
    return render(request, "account/signup_confirm.html", context, status=status)


@transaction.atomic
def _create(request: HttpRequest, form: SignUp, mailbox: str) -> bool:
    with connection.cursor() as cursor:  # two clicks on one link make one account
        lock = f"signup {mailbox.casefold()}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
    if account_of(mailbox).exists():
        return False
    user = form.save()
    login(request, user)
    # Not delay(): a worker could look for the user before the transaction is committed, and would
    # send a mail for one that is rolled back. And without a broker, this one waits for it.
    tell.delay_on_commit(user.pk, "welcome")
    return True
