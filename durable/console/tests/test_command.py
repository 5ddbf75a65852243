"""``manage.py tasks`` lists, shows and does what the console does."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from durable.console.models import Deed
from durable.journal import minutes
from durable.journal.models import Entry
from durable.queue.models import Pause, Task
from durable.queue.tests.delivery import deliver
from tests.durable_tasks import effect, fails

pytestmark = pytest.mark.usefixtures("effect_table")


def tasks(*words: str) -> str:
    out = StringIO()
    call_command("tasks", *words, stdout=out)
    return out.getvalue()


def test_a_shell_can_do_what_the_console_does() -> None:
    Entry.objects.all().delete()
    fails.delay_on_commit("a")
    deliver()
    effect.delay_on_commit("waits")
    ended, waits = Entry.objects.get(), Task.objects.get()
    assert tasks("list").count("durable_tasks") == 2
    [found] = json.loads(tasks("list", "state:failed", "--json"))
    assert (found["id"], found["says"]) == (ended.pk, "ValueError: a")
    assert "ValueError" in tasks("show", str(ended.pk))
    assert tasks("discard", str(waits.pk)) == "1 task; with --yes: discard\n"
    assert Task.objects.filter(pk=waits.pk).exists()
    assert tasks("discard", str(waits.pk), "--yes") == "1 done\n"
    assert tasks("retry", "state:failed") == "1 tasks; with --yes: retry\n"
    assert "works it off" in tasks("retry", "state:failed", "--yes", "--who", "me")
    deliver(Task.objects.get(task__endswith="work_off"))
    assert Task.objects.get().task_id == ended.task_id
    assert Deed.objects.latest("id").who == "me"
    Entry.objects.update(ended_at=Now() - timedelta(minutes=1))
    assert minutes.fold()
    assert re.search(rf"^{fails.name} +0 +1 +0 ", tasks("names"), re.MULTILINE)
    tasks("pause", "mail")
    assert Pause.objects.get().name == "mail"
    assert tasks("resume", "mail") == "mail is resumed\n"
    tasks("pause", "--task", effect.name)
    assert Pause.objects.get().kind == "task"
    assert tasks("resume", "--task", effect.name) == f"{effect.name} is resumed\n"
    with pytest.raises(CommandError, match=f"; {effect.name} is"):
        tasks("pause", "--task", f"{effect.name}s")
    with pytest.raises(CommandError, match="the words are"):
        tasks("list", "color:red")
