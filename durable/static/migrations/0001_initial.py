from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='File',
            fields=[
                ('name', models.CharField(max_length=500, primary_key=True, serialize=False)),
                ('content', models.BinaryField()),
                ('replaced_at', models.DateTimeField(help_text='when the last version that has it was replaced', null=True)),
            ],
        ),
    ]
