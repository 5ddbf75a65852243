from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("durable_results", "0001_initial")]

    operations = [
        migrations.AddField("chordpart", "position", models.IntegerField(null=True)),
    ]
