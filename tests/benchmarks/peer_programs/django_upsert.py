"""Django: a JSON Lines file through bulk_create(update_conflicts=True).

python django_upsert.py FILE SOCKET_FOLDER DATABASE SCHEMA
"""

import json
import sys
from itertools import islice

import django
from django.conf import settings
from django.db import connection, models, transaction

FILE, SOCKET_FOLDER, DATABASE, SCHEMA = sys.argv[1:5]
BATCH = 1000

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": SOCKET_FOLDER,
            "USER": "postgres",
            "NAME": DATABASE,
            "OPTIONS": {"options": f"-c search_path={SCHEMA}"},
        }
    },
    DEBUG=False,
)
django.setup()


class Offer(models.Model):
    sku = models.CharField(max_length=50, primary_key=True)
    name = models.TextField()
    name_zh = models.TextField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3)
    url = models.TextField()
    image_url = models.TextField()
    brand = models.CharField(max_length=70)
    category_zh = models.TextField()
    stock = models.CharField(max_length=20)

    class Meta:
        app_label = "peers"
        db_table = "offers"


def main() -> None:
    if "offers" not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Offer)
    fields = [field.name for field in Offer._meta.fields if not field.primary_key]
    with open(FILE, encoding="utf-8") as lines, transaction.atomic():
        offers = (Offer(**json.loads(line)) for line in lines)
        while batch := list(islice(offers, BATCH)):
            Offer.objects.bulk_create(batch, update_conflicts=True, unique_fields=["sku"], update_fields=fields)
    print(Offer.objects.count())


if __name__ == "__main__":
    main()
