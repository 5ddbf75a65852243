import django.db.models.deletion
from django.db import migrations, models

# Upstream's indexes that no query of a result's way needs, and that each result writes to: one is
# found by its task's id, and deleted by its age. What its admin filters by them is scanned instead.
UNUSED = {
    "django_cele_task_na_08aec9_idx": "(task_name)",
    "django_cele_status_9b6201_idx": "(status)",
    "django_cele_worker_d54dd8_idx": "(worker)",
    "django_cele_date_cr_f04a50_idx": "(date_created)",
    "django_cele_periodi_1993cf_idx": "(periodic_task_name)",
    "django_celery_results_taskresult_task_id_de0d95bf_like": "(task_id varchar_pattern_ops)",
}

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
        *(
            migrations.RunSQL(
                f"DROP INDEX IF EXISTS {name}",
                f"CREATE INDEX IF NOT EXISTS {name} ON django_celery_results_taskresult {columns}",
            )
            for name, columns in UNUSED.items()
        ),
    ]
