"""Takes away a column that everything needs, and fails before it ends."""

from django.db import migrations


class Migration(migrations.Migration):
    operations = [
        migrations.RunSQL("ALTER TABLE chaos_effect DROP COLUMN operation"),
        migrations.RunSQL("ALTER TABLE chaos_nowhere ADD COLUMN never integer"),
    ]
