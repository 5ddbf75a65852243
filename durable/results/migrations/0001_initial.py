import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ("django_celery_results", "0014_alter_taskresult_status"),
    ]

    operations = [
        migrations.CreateModel(
            name="ChordPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("counter", models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="parts", to="django_celery_results.chordcounter")),
                ("task_id", models.CharField(max_length=255)),
                ("position", models.IntegerField(null=True)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("counter", "task_id"), name="results_part_counts_once")],
            },
        ),
        # By PostgreSQL itself: counters are also deleted without Django's help.
        migrations.RunSQL(
            "ALTER TABLE durable_results_chordpart ADD CONSTRAINT results_part_of_counter"
            " FOREIGN KEY (counter_id) REFERENCES django_celery_results_chordcounter (id)"
            " ON DELETE CASCADE",
            "ALTER TABLE durable_results_chordpart DROP CONSTRAINT results_part_of_counter",
        ),
    ]
