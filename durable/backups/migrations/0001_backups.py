import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Backup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('file', models.CharField(max_length=255, unique=True)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='started')),
                ('dumped_at', models.DateTimeField(help_text='the moment that the dump shows; none if it failed', null=True, verbose_name='dumped')),
                ('proven_at', models.DateTimeField(help_text='when it was restored, and every table had the rows that it has in the dump', null=True, verbose_name='proven')),
                ('stored_at', models.DateTimeField(help_text='when it had left the machine (BACKUP_STORE_URL)', null=True, verbose_name='stored')),
                ('bytes', models.BigIntegerField(null=True)),
                ('tables', models.IntegerField(null=True)),
                ('rows', models.BigIntegerField(null=True)),
                ('dump_seconds', models.IntegerField(null=True, verbose_name='seconds to dump')),
                ('proof_seconds', models.IntegerField(null=True, verbose_name='seconds to prove')),
                ('failed_at', models.DateTimeField(null=True, verbose_name='failed')),
                ('error', models.TextField(blank=True, db_default='', help_text='what went wrong the last time, if it did')),
            ],
            options={
                'ordering': ['-started_at'],
            },
        ),
        migrations.CreateModel(
            name='Moment',
            fields=[
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), primary_key=True, serialize=False)),
            ],
        ),
    ]
