import datetime

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('hostname', models.CharField(max_length=255)),
                ('pid', models.IntegerField()),
                ('slots', models.IntegerField(help_text='tasks that it runs at the same time')),
                ('queues', models.TextField(db_default='', help_text='that it takes from, with commas')),
                ('version', models.TextField(db_default='', help_text='of the project that it runs')),
                ('memory', models.IntegerField(db_default=0, help_text='KiB, of all its processes now')),
                ('tasks', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, help_text='that it knows', size=None)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('stop_by', models.TextField(db_default='', help_text='who wants it to stop')),
                ('cancelled', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, help_text='ids of its rows', size=None)),
            ],
        ),
        migrations.CreateModel(
            name='Seen',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task', models.CharField(max_length=255)),
                ('key', models.CharField(max_length=255)),
                ('task_id', models.CharField(max_length=255)),
                ('until', models.DateTimeField()),
            ],
            options={
                'db_table': 'durable_seen',
                'indexes': [models.Index(models.F('until'), name='durable_seen_until')],
                'constraints': [models.UniqueConstraint(fields=('task', 'key'), name='durable_seen_once')],
            },
        ),
        migrations.CreateModel(
            name='Pace',
            fields=[
                ('key', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('since_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'durable_pace',
                'indexes': [models.Index(models.F('since_at'), name='durable_pace_since_at')],
            },
        ),
        migrations.CreateModel(
            name='Progress',
            fields=[
                ('task_id', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('row_id', models.BigIntegerField(null=True)),
                ('attempt', models.IntegerField()),
                ('done', models.FloatField()),
                ('total', models.FloatField(null=True)),
                ('message', models.TextField()),
                ('at', models.DateTimeField()),
            ],
            options={
                'db_table': 'durable_progress',
                'indexes': [models.Index(models.F('at'), name='durable_progress_at')],
            },
        ),
        migrations.CreateModel(
            name='Pause',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('queue', 'queue'), ('task', 'task')], max_length=5)),
                ('name', models.CharField(max_length=255)),
                ('since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('who', models.CharField(max_length=150)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('kind', 'name'), name='durable_pause_one_each')],
            },
        ),
        migrations.CreateModel(
            name='Task',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task_id', models.CharField(max_length=255)),
                ('task', models.CharField(max_length=255, verbose_name="task's name")),
                ('queue', models.CharField(max_length=255)),
                ('priority', models.SmallIntegerField(default=0, help_text='the lowest number comes first')),
                ('headers', models.TextField(help_text="of Celery's message, as JSON")),
                ('body', models.TextField(help_text="[args, kwargs, embed] in kombu's JSON")),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='when it may be taken')),
                ('expires', models.DateTimeField(null=True)),
                ('worker', models.CharField(help_text='holds it, or runs it', max_length=64, null=True)),
                ('started_at', models.DateTimeField(help_text='of the attempt that is under way', null=True)),
                ('attempt', models.IntegerField(default=0)),
                ('clean_attempt', models.IntegerField(default=0, help_text='the last that ended in order')),
                ('key', models.CharField(max_length=255, null=True)),
                ('at_once', models.IntegerField(null=True)),
                ('rate', models.FloatField(help_text='begins in a second', null=True)),
                ('in_order', models.BooleanField(null=True)),
                ('eligible_at', models.DateTimeField(help_text='when it may have a place of its key; null once it has one', null=True)),
                ('unique_key', models.CharField(max_length=255, null=True)),
                ('unique_running', models.BooleanField(help_text='unique while it runs, too', null=True)),
                ('quarantined_at', models.DateTimeField(null=True)),
                ('error', models.TextField(blank=True, default='')),
                ('history', models.JSONField(default=list)),
            ],
            options={
                'verbose_name': 'task',
                'indexes': [models.Index(models.F('queue'), models.F('priority'), models.F('due_at'), condition=models.Q(('quarantined_at__isnull', True), ('worker__isnull', True)), name='durable_task_free'), models.Index(models.F('queue'), models.F('key'), models.F('priority'), models.F('eligible_at'), models.F('id'), condition=models.Q(('eligible_at__isnull', False), ('quarantined_at__isnull', True)), name='durable_task_limited'), models.Index(models.F('key'), condition=models.Q(('eligible_at__isnull', True), ('key__isnull', False), ('quarantined_at__isnull', True)), name='durable_task_places'), django.contrib.postgres.indexes.HashIndex(models.F('task_id'), name='durable_task_task_id'), models.Index(models.F('worker'), condition=models.Q(('worker__isnull', False)), name='durable_task_worker'), models.Index(models.F('expires'), condition=models.Q(('expires__isnull', False)), name='durable_task_expires'), models.Index(models.F('quarantined_at'), condition=models.Q(('quarantined_at__isnull', False)), name='durable_task_quarantined')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('quarantined_at', None), ('worker', None), _connector='OR'), models.Q(('started_at', None), ('worker__isnull', False), _connector='OR'), models.Q(('eligible_at', None), models.Q(('due_at', datetime.datetime(9000, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)), ('worker', None)), _connector='OR'), models.Q(('started_at', None), ('unique_key', None), ('unique_running', True), _connector='OR')), name='durable_task_one_state'), models.UniqueConstraint(condition=models.Q(('unique_key__isnull', False)), fields=('task', 'unique_key', 'unique_running'), name='durable_task_once')],
            },
        ),
        # Rows live for seconds: vacuum by a number of dead rows instead of a share of the table.
        # No room is left in the pages for updates: each moves its row from one of the partial
        # indexes into another, so none can spare the indexes (HOT).
        migrations.RunSQL(
            "ALTER TABLE durable_task SET (autovacuum_vacuum_scale_factor = 0,"
            " autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0,"
            " autovacuum_analyze_threshold = 5000)",
            "ALTER TABLE durable_task RESET (autovacuum_vacuum_scale_factor,"
            " autovacuum_vacuum_threshold, autovacuum_analyze_scale_factor,"
            " autovacuum_analyze_threshold)",
        ),
    ]
