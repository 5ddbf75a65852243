"""``manage.py alerts``: what fires now, a message that tries the way, and Prometheus' rules."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from durable.alerts import conf, prometheus, send, watch
from durable.alerts.conditions import Measured, measured
from durable.alerts.rules import RULES
from durable.metrics.gauges import measure


class Command(BaseCommand):
    """Show the alerts that hold, test the way that they are said, or print Prometheus' rules."""

    help = "Shows which alerts hold now, and which of them have been said."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--test", action="store_true", help="say something now, by each way")
        parser.add_argument("--prometheus", action="store_true", help="print Prometheus' rules")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["prometheus"]:
            self.stdout.write(prometheus.as_yaml(), ending="")
        elif options["test"]:
            self._test()
        else:
            self._show()

    def _show(self) -> None:
        now, page = timezone.now(), measured(measure())
        found = {
            (rule.name, *labels): rule.text(dict(zip(rule.labels, labels, strict=True)), value)
            for rule in RULES
            for labels, value in rule.when.of(page, _nothing).items()
        }
        fired = {watch.key_of(each): each for each in watch.state(now).firing}
        ended = {key: watch.as_message(each, now).says for key, each in fired.items()}
        for key, says in (ended | found).items():
            rule = watch.BY_NAME[key[0]]
            state = f"fires after {rule.minutes} min"
            if key in fired:
                told = ", ".join(fired[key].told) or "no channel yet"
                state = f"since {fired[key].since:%F %H:%M} UTC, told: {told}"
            self.stdout.write(f"{rule.severity:8}  {rule.name}: {says} ({state})")
        if not (found or fired):
            self.stdout.write("none holds")
        if not conf.asked():
            self.stdout.write("none is said: neither ALERT_URL nor ALERT_EMAIL is set")

    def _test(self) -> None:
        if not (channels := send.channels()):
            raise CommandError("neither ALERT_URL nor ALERT_EMAIL is set: there is no way to try")
        message = send.Message("Test", send.FIRING, "test", {}, "This is a test; all is well.",
                               "docs/runbooks/README.md", timezone.now())  # fmt: skip
        failed = [name for name in channels if not send.send(name, [message])]
        failed += [] if send.ping() else ["HEARTBEAT_PING_URL"]
        if failed:
            raise CommandError(f"not taken by: {', '.join(failed)}; the log above says why")
        self.stdout.write(f"taken by: {', '.join(channels)}")


def _nothing(seconds: int) -> Measured | None:
    return None
