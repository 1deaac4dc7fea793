"""A listing as users of Django REST framework write it: a model's serializer."""

from django.core.wsgi import get_wsgi_application
from django.urls import path
from listing_django import Offer, newest
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView


class OfferSerializer(serializers.ModelSerializer):
    merchant = serializers.CharField(source="merchant.slug")
    merchant_name = serializers.CharField(source="merchant.name")
    price_now_minor = serializers.IntegerField()
    net_price_minor = serializers.IntegerField(source="price_now_minor")
    category = serializers.CharField(source="google_product_category")

    class Meta:
        model = Offer
        fields = (
            "id",
            "offer_id",
            "merchant",
            "merchant_name",
            "kind",
            "title",
            "image_link",
            "price_minor",
            "sale_price_minor",
            "price_now_minor",
            "net_price_minor",
            "currency",
            "availability",
            "brand",
            "category",
            "rate_category",
            "cashback_eligible",
            "coupon_code",
            "ends_at",
        )


class OfferList(APIView):
    def get(self, request):
        asked = request.query_params
        limit = int(asked.get("limit", 20))
        offers = newest(limit, asked.get("before"), asked.get("merchant"))
        page = offers[:limit]
        items = OfferSerializer(page, many=True).data
        return Response({"items": items, "next_cursor": page[-1].id if len(offers) > limit else None})


urlpatterns = [path("offers", OfferList.as_view())]
application = get_wsgi_application()
