import django.contrib.postgres.fields
from django.db import migrations, models

#: conf.SLOTS, and what entry.py computes.
SLOTS = 32

# In parts, one for each day in turn (slot = day number % SLOTS): a day that is over is dropped by
# TRUNCATE, and no part has to be made while tasks run. Entries come in the order of their ends and
# never change, so a BRIN index finds a time for next to nothing. Celery's ids are random: a hash is
# the smallest index that finds one. Nothing is unique: an entry must never be what keeps a task
# from ending.
TABLE = """
CREATE TABLE durable_journal (
    slot int2 NOT NULL, priority int2 NOT NULL, attempt int4 NOT NULL, memory int4,
    id int8 NOT NULL, ended_at timestamptz NOT NULL, called_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL, started_at timestamptz, replayed_at timestamptz,
    discarded_at timestamptz,
    redacted bool NOT NULL, task_id text NOT NULL, task text NOT NULL, queue text NOT NULL,
    state text NOT NULL, host text NOT NULL, version text NOT NULL, headers text NOT NULL,
    body text, result text, error text, place text, traceback text, history jsonb
) PARTITION BY LIST (slot);
CREATE INDEX durable_journal_id ON durable_journal (id);
CREATE INDEX durable_journal_ended ON durable_journal
    USING brin (ended_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX durable_journal_task ON durable_journal USING hash (task_id);
CREATE INDEX durable_journal_failed ON durable_journal (ended_at)
    WHERE state IN ('FAILURE', 'REJECTED') AND replayed_at IS NULL AND discarded_at IS NULL;
CREATE INDEX durable_journal_failed_id ON durable_journal (id)
    WHERE state IN ('FAILURE', 'REJECTED') AND discarded_at IS NULL;
CREATE INDEX durable_journal_periodic ON durable_journal
    ((substring(headers from '"periodic_task_name": "((?:[^"\\\\]|\\\\.)*)"')), id)
    WHERE headers LIKE '%"periodic_task_name": "%';

CREATE TABLE durable_log (
    slot int2 NOT NULL, attempt int4 NOT NULL, row_id int8 NOT NULL, lines text NOT NULL
) PARTITION BY LIST (slot);
CREATE INDEX durable_log_row ON durable_log (row_id);
"""
PARTS = "\n".join(
    f"CREATE TABLE {table}_{slot} PARTITION OF {table} FOR VALUES IN ({slot});"
    for table in ("durable_journal", "durable_log")
    for slot in range(SLOTS)
)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Entry',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('slot', models.SmallIntegerField()),
                ('ended_at', models.DateTimeField()),
                ('task_id', models.TextField()),
                ('task', models.TextField()),
                ('queue', models.TextField()),
                ('priority', models.SmallIntegerField()),
                ('state', models.TextField(help_text="Celery's, or DISCARDED")),
                ('called_at', models.DateTimeField()),
                ('due_at', models.DateTimeField()),
                ('started_at', models.DateTimeField(help_text='of the last attempt', null=True)),
                ('attempt', models.IntegerField(help_text='how many there were')),
                ('history', models.JSONField(help_text='the attempts before the last', null=True)),
                ('headers', models.TextField()),
                ('body', models.TextField(null=True)),
                ('redacted', models.BooleanField()),
                ('result', models.TextField(null=True)),
                ('error', models.TextField(help_text="the exception's class", null=True)),
                ('place', models.TextField(help_text='file, line and function', null=True)),
                ('traceback', models.TextField(null=True)),
                ('host', models.TextField(help_text='the worker, or the process that ended it')),
                ('version', models.TextField()),
                ('memory', models.IntegerField(help_text='KiB, the most of its process so far', null=True)),
                ('replayed_at', models.DateTimeField(null=True)),
                ('discarded_at', models.DateTimeField(help_text='a failure that a person has seen to', null=True)),
            ],
            options={
                'verbose_name_plural': 'entries',
                'db_table': 'durable_journal',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='Minute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField()),
                ('task', models.TextField()),
                ('queue', models.TextField()),
                ('done', models.IntegerField()),
                ('failed', models.IntegerField()),
                ('revoked', models.IntegerField()),
                ('retried', models.IntegerField(help_text='attempts that asked for another one')),
                ('died', models.IntegerField(help_text='attempts that ended without a word')),
                ('waited', models.FloatField(help_text='seconds from due to begun, of all together')),
                ('ran', models.FloatField(help_text='seconds of the last attempts, of all together')),
                ('waits', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('runs', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('memory', models.IntegerField(help_text='KiB, the most of a process', null=True)),
                ('settled', models.BooleanField(db_default=False, help_text='is in the totals')),
            ],
            options={
                'db_table': 'durable_minute',
                'indexes': [models.Index(models.F('minute'), condition=models.Q(('settled', False)), name='durable_minute_unsettled')],
                'constraints': [models.UniqueConstraint(fields=('minute', 'task', 'queue'), name='durable_minute_one_each')],
            },
        ),
        migrations.CreateModel(
            name='Total',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task', models.TextField()),
                ('queue', models.TextField()),
                ('done', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('revoked', models.BigIntegerField(default=0)),
                ('retried', models.BigIntegerField(default=0)),
                ('died', models.BigIntegerField(default=0)),
                ('waited', models.FloatField(default=0)),
                ('ran', models.FloatField(default=0)),
                ('waits', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None)),
                ('runs', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None)),
                ('changed_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'durable_total',
                'constraints': [models.UniqueConstraint(fields=('task', 'queue'), name='durable_total_one_each')],
            },
        ),
        migrations.CreateModel(
            name='Release',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.TextField()),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField()),
            ],
            options={
                'db_table': 'durable_release',
            },
        ),
        migrations.RunSQL(TABLE + PARTS, "DROP TABLE durable_journal, durable_log"),
    ]
