"""Writes the declared schedules into django-celery-beat's tables, and keeps a person's changes.

A three-way merge, field by field. The base is what the code declared the last time
(DeclaredSchedule): a field that still has that value follows the code, one that differs was changed
by a person and stays. A row that a person deleted is not made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db import connection, transaction
from django_celery_beat.models import PeriodicTask

from .declare import Schedule
from .fields import Fields, of_declaration, of_row, write
from .models import DeclaredSchedule


def synchronize(schedules: Iterable[Schedule]) -> list[str]:
    """Make the tables follow *schedules*; return a line for each schedule that is worth a word.

    May run any number of times, and in several processes at once: they go one after the other.
    """
    wanted = {schedule.name: of_declaration(schedule) for schedule in schedules}
    with transaction.atomic(), connection.cursor() as cursor:
        # Conflicts with itself and with writers, not with readers.
        table = connection.ops.quote_name(DeclaredSchedule._meta.db_table)
        cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        bases = {base.name: base for base in DeclaredSchedule.objects.all()}
        names = [*wanted, *bases]
        rows = {
            row.name: row for row in PeriodicTask.objects.select_for_update().filter(name__in=names)
        }
        return [
            *_remove((base for name, base in bases.items() if name not in wanted), rows),
            *(
                line
                for name, fields in wanted.items()
                if (line := _merge(name, fields, bases.get(name), rows.get(name)))
            ),
        ]


def _merge(
    name: str, fields: Fields, base: DeclaredSchedule | None, row: PeriodicTask | None
) -> str:
    if row is None and base is not None:
        _remember(name, fields, base)
        return (
            f"{name}: was deleted by hand, stays so "
            "(delete its entry in “schedules declared in code” to have it made again)"
        )
    if row is None:
        row = PeriodicTask(name=name)
        write(row, fields)
        row.save()
        _remember(name, fields, base)
        return f"{name}: created"

    # Without a base the row is older than its declaration, and a person's.
    before = base.declared if base else fields
    found = of_row(row)
    kept = [key for key in fields if found[key] != fields[key] and found[key] != before.get(key)]
    changes = {
        key: value for key, value in fields.items() if found[key] != value and key not in kept
    }
    if changes:
        write(row, changes)
        row.save()
    _remember(name, fields, base)
    said = []
    if changes:
        said.append(f"updated ({', '.join(changes)})")
    if kept:
        said.append(f"changed by hand, kept ({', '.join(kept)})")
    return f"{name}: {'; '.join(said)}" if said else ""


def _remove(bases: Iterable[DeclaredSchedule], rows: dict[str, PeriodicTask]) -> Iterator[str]:
    for base in bases:
        row = rows.get(base.name)
        if row is None:
            yield f"{base.name}: no longer declared"
        elif of_row(row) == base.declared:
            row.delete()
            yield f"{base.name}: no longer declared, deleted"
        else:
            state = "still runs" if row.enabled else "is disabled"
            yield f"{base.name}: no longer declared; changed by hand, so it is kept and {state}"
        base.delete()


def _remember(name: str, fields: Fields, base: DeclaredSchedule | None) -> None:
    if base is None:
        DeclaredSchedule.objects.create(name=name, declared=fields)
    elif base.declared != fields:
        base.declared = fields
        base.save(update_fields=["declared"])
