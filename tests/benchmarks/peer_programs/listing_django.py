"""Django's settings and models, for the listings of Django REST framework and of django-ninja."""

import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of a benchmark only",
    ROOT_URLCONF=os.environ["PEER_URLS"],
    INSTALLED_APPS=["rest_framework"] if os.environ["PEER_URLS"] == "listing_drf" else [],
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
    },
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PEER_SOCKET_FOLDER"],
            "NAME": os.environ["PEER_DATABASE"],
            "USER": "postgres",
            # Kept for as long as the thread lives.
            "CONN_MAX_AGE": None,
        }
    },
    USE_TZ=True,
)
django.setup()

from django.db import models  # noqa: E402
from django.utils import timezone  # noqa: E402


class Merchant(models.Model):
    id = models.UUIDField(primary_key=True)
    slug = models.TextField()
    name = models.TextField()

    class Meta:
        app_label = "listing"
        db_table = "merchants"
        managed = False


class Offer(models.Model):
    id = models.UUIDField(primary_key=True)
    merchant = models.ForeignKey(Merchant, models.CASCADE)
    offer_id = models.TextField()
    status = models.TextField()
    kind = models.TextField()
    title = models.TextField()
    image_link = models.TextField()
    price_minor = models.BigIntegerField(null=True)
    sale_price_minor = models.BigIntegerField(null=True)
    sale_starts_at = models.DateTimeField(null=True)
    sale_ends_at = models.DateTimeField(null=True)
    currency = models.TextField(null=True)
    availability = models.TextField()
    brand = models.TextField()
    google_product_category = models.TextField()
    rate_category = models.TextField()
    cashback_eligible = models.BooleanField()
    coupon_code = models.TextField()
    ends_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "listing"
        db_table = "offers"
        managed = False

    @property
    def price_now_minor(self):
        now = timezone.now()
        on_sale = (
            self.sale_price_minor is not None
            and (self.sale_starts_at is None or self.sale_starts_at <= now)
            and (self.sale_ends_at is None or now < self.sale_ends_at)
        )
        return self.sale_price_minor if on_sale else self.price_minor


def newest(limit, before, merchant):
    offers = Offer.objects.select_related("merchant").filter(status="active")
    if merchant:
        offers = offers.filter(merchant_id=Merchant.objects.get(slug=merchant).id)
    if before:
        offers = offers.filter(id__lt=before)
    return list(offers.order_by("-id")[: limit + 1])
