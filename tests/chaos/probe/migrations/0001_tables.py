"""What was enqueued, and what was executed: without a constraint that could hide a second time."""

from django.db import migrations


class Migration(migrations.Migration):
    operations = [
        migrations.RunSQL(
            [
                "CREATE TABLE chaos_operation (label text NOT NULL, operation text NOT NULL,"
                " kind text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())",
                "CREATE INDEX ON chaos_operation (label)",
                "CREATE TABLE chaos_effect (operation text NOT NULL, host text NOT NULL,"
                " pid integer NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())",
                "CREATE INDEX ON chaos_effect (operation)",
                "CREATE TABLE chaos_span (key text NOT NULL, operation text NOT NULL,"
                " began timestamptz NOT NULL, ended timestamptz NOT NULL)",
                "CREATE TABLE chaos_tick (every integer NOT NULL, sent_at timestamptz NOT NULL,"
                " at timestamptz NOT NULL DEFAULT clock_timestamp())",
            ],
            "DROP TABLE chaos_operation, chaos_effect, chaos_span, chaos_tick",
        ),
    ]
