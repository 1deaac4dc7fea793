"""What the shops sell: kinds of goods with English and Urdu names, prices and categories. Brands are invented."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """Prices in whole units of the currency; `sizes` are variants of one product, () for none."""

    english: str
    urdu: str
    product_type: str
    google_category: str
    price_from: int
    price_to: int
    rate_category: str = ""
    sizes: tuple[str, ...] = ()
    gender: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """A shop's range: its kinds, its brands, and qualities as pairs of English and Urdu."""

    kinds: tuple[Kind, ...]
    brands: tuple[str, ...]
    qualities: tuple[tuple[str, str], ...]
    colors: tuple[tuple[str, str], ...]
    sentence: str


_COLORS: Final = (
    ("Ivory", "سفید"),
    ("Maroon", "عنابی"),
    ("Emerald", "زمردی"),
    ("Navy", "گہرا نیلا"),
    ("Mustard", "سرسوں رنگ"),
    ("Rose", "گلابی"),
    ("Black", "کالا"),
    ("Turquoise", "فیروزی"),
)
_APPAREL: Final = "Apparel & Accessories"
_WORN: Final = ("S", "M", "L", "XL")
_SHOES: Final = ("38", "40", "42", "44")

CLOTHING: Final = Range(
    kinds=(
        Kind("Kurta", "کرتا", "Men > Kurta", f"{_APPAREL} > Clothing > Shirts & Tops", 1800, 6500, "", _WORN, "male"),
        Kind(
            "Kurti", "کرتی", "Women > Kurti", f"{_APPAREL} > Clothing > Shirts & Tops", 1500, 5500, "", _WORN, "female"
        ),
        Kind("Shalwar", "شلوار", "Women > Shalwar", f"{_APPAREL} > Clothing > Pants", 900, 2800, "", _WORN, "female"),
        Kind("Waistcoat", "واسکٹ", "Men > Waistcoat", f"{_APPAREL} > Clothing", 3500, 9000, "", _WORN, "male"),
        Kind(
            "Three-Piece Lawn Suit",
            "تھری پیس لان سوٹ",
            "Unstitched > Lawn",
            f"{_APPAREL} > Clothing",
            3200,
            12500,
            "unstitched",
        ),
        Kind(
            "Khaddar Suit Piece",
            "کھدر سوٹ پیس",
            "Unstitched > Khaddar",
            f"{_APPAREL} > Clothing",
            2800,
            7500,
            "unstitched",
        ),
        Kind("Dupatta", "دوپٹہ", "Women > Dupatta", f"{_APPAREL} > Clothing Accessories", 800, 4200, "", (), "female"),
        Kind(
            "Peshawari Chappal", "پشاوری چپل", "Shoes > Men", f"{_APPAREL} > Shoes", 2500, 8500, "shoes", _SHOES, "male"
        ),
        Kind("Khussa", "کھسہ", "Shoes > Women", f"{_APPAREL} > Shoes", 1600, 5200, "shoes", _SHOES, "female"),
    ),
    brands=("Mor Pankh", "Nakhshab", "Chenab Loom", "Gulrang", "Ravi & Daughters"),
    qualities=(
        ("Hand-Embroidered", "ہاتھ کی کڑھائی والا"),
        ("Block-Printed", "بلاک پرنٹ"),
        ("Pure Cotton", "خالص سوتی"),
        ("Festive", "عید کا"),
        ("Summer", "گرمیوں کا"),
        ("Classic", "کلاسک"),
    ),
    colors=_COLORS,
    sentence="Machine wash cold, dry in the shade. Colours may differ a little from the picture.",
)

ELECTRONICS: Final = Range(
    kinds=(
        Kind(
            "Smartphone 128 GB",
            "اسمارٹ فون 128 جی بی",
            "Phones",
            "Electronics > Communications > Telephony > Mobile Phones",
            24000,
            189000,
            "phones",
        ),
        Kind(
            "Feature Phone",
            "بٹنوں والا فون",
            "Phones",
            "Electronics > Communications > Telephony > Mobile Phones",
            3200,
            9500,
            "phones",
        ),
        Kind("Wireless Earbuds", "وائرلیس ایئربڈز", "Audio > Earbuds", "Electronics > Audio > Headphones", 2200, 18500),
        Kind("Bluetooth Speaker", "بلوٹوتھ اسپیکر", "Audio > Speakers", "Electronics > Audio > Speakers", 2900, 21000),
        Kind(
            "Power Bank 20000 mAh", "پاور بینک", "Accessories > Power", "Electronics > Power", 2600, 8900, "accessories"
        ),
        Kind("USB-C Charger 65 W", "چارجر", "Accessories > Power", "Electronics > Power", 1200, 6400, "accessories"),
        Kind(
            "Phone Cover", "موبائل کور", "Accessories > Covers", "Electronics > Accessories", 350, 2400, "accessories"
        ),
        Kind("Smart Watch", "اسمارٹ واچ", "Wearables", "Apparel & Accessories > Jewelry > Watches", 3800, 32000),
        Kind("UPS Battery 12 V", "یو پی ایس بیٹری", "Power > Backup", "Electronics > Power", 14500, 46000),
    ),
    brands=("Taarik", "Voltari", "Bijli Works", "Sunoo", "Qalam Tech"),
    qualities=(("Pro", "پرو"), ("Lite", "لائٹ"), ("Max", "میکس"), ("Neo", "نیو"), ("2026", "2026"), ("Mini", "منی")),
    colors=(("Black", "کالا"), ("Silver", "سلور"), ("Blue", "نیلا"), ("Green", "سبز"), ("White", "سفید")),
    sentence="In the box: the device, a cable and the warranty card. One year of warranty in Pakistan.",
)

HOME: Final = Range(
    kinds=(
        Kind(
            "Blue Pottery Vase",
            "نیلی مٹی کا گلدان",
            "Pottery > Vases",
            "Home & Garden > Decor > Vases",
            900,
            9800,
            "pottery",
        ),
        Kind(
            "Blue Pottery Plate Set",
            "پلیٹوں کا سیٹ",
            "Pottery > Tableware",
            "Home & Garden > Kitchen & Dining > Tableware",
            2400,
            14000,
            "pottery",
        ),
        Kind(
            "Double Bed Sheet",
            "ڈبل بیڈ شیٹ",
            "Bedding > Sheets",
            "Home & Garden > Linens & Bedding",
            1900,
            8200,
            "bedding",
        ),
        Kind("Winter Quilt", "رضائی", "Bedding > Quilts", "Home & Garden > Linens & Bedding", 3600, 13500, "bedding"),
        Kind("Cushion Cover Pair", "کشن کور", "Living > Cushions", "Home & Garden > Decor", 700, 3100),
        Kind("Copper Handi", "تانبے کی ہانڈی", "Kitchen > Cookware", "Home & Garden > Kitchen & Dining", 2100, 8800),
        Kind("Clay Tandoor", "مٹی کا تندور", "Kitchen > Outdoor", "Home & Garden > Kitchen & Dining", 6500, 24000),
        Kind(
            "Camel-Skin Lamp", "اونٹ کی کھال کا لیمپ", "Living > Lamps", "Home & Garden > Lighting > Lamps", 2300, 15500
        ),
        Kind("Sindhi Ajrak Runner", "اجرک رنر", "Living > Textiles", "Home & Garden > Decor", 1100, 4600),
    ),
    brands=("Kashi House", "Saraiki Crafts", "Chowk & Chimney", "Neem Tree", "Darya Home"),
    qualities=(
        ("Handmade", "ہاتھ سے بنا"),
        ("Large", "بڑا"),
        ("Small", "چھوٹا"),
        ("Traditional", "روایتی"),
        ("Glazed", "چمکدار"),
        ("Everyday", "روزمرہ"),
    ),
    colors=_COLORS,
    sentence="Each piece is made by hand, so no two are the same.",
)

GROCERY: Final = Range(
    kinds=(
        Kind(
            "Basmati Rice 5 kg",
            "باسمتی چاول 5 کلو",
            "Staples > Rice",
            "Food, Beverages & Tobacco > Food Items",
            1400,
            3600,
        ),
        Kind(
            "Chakki Atta 10 kg",
            "چکی آٹا 10 کلو",
            "Staples > Flour",
            "Food, Beverages & Tobacco > Food Items",
            1100,
            1900,
        ),
        Kind(
            "Daal Masoor 1 kg", "دال مسور 1 کلو", "Staples > Pulses", "Food, Beverages & Tobacco > Food Items", 280, 620
        ),
        Kind(
            "Biryani Masala",
            "بریانی مصالحہ",
            "Spices",
            "Food, Beverages & Tobacco > Food Items > Seasonings & Spices",
            90,
            420,
            "spices",
        ),
        Kind(
            "Lal Mirch Powder 400 g",
            "لال مرچ پاؤڈر",
            "Spices",
            "Food, Beverages & Tobacco > Food Items > Seasonings & Spices",
            260,
            780,
            "spices",
        ),
        Kind(
            "Kandhari Almonds 500 g",
            "قندھاری بادام",
            "Dry Fruit",
            "Food, Beverages & Tobacco > Food Items > Nuts & Seeds",
            1500,
            3900,
            "dry-fruit",
        ),
        Kind(
            "Chilgoza 250 g",
            "چلغوزہ",
            "Dry Fruit",
            "Food, Beverages & Tobacco > Food Items > Nuts & Seeds",
            2600,
            6400,
            "dry-fruit",
        ),
        Kind(
            "Black Tea 950 g",
            "چائے کی پتی",
            "Drinks > Tea",
            "Food, Beverages & Tobacco > Beverages > Tea & Infusions",
            1100,
            2300,
        ),
        Kind(
            "Desi Ghee 1 kg",
            "دیسی گھی",
            "Dairy > Ghee",
            "Food, Beverages & Tobacco > Food Items > Dairy Products",
            1900,
            3400,
        ),
    ),
    brands=("Khet Se", "Dada Ji", "Soan Valley", "Pehli Chai", "Bagh-o-Bahar"),
    qualities=(
        ("Premium", "اعلیٰ"),
        ("Organic", "نامیاتی"),
        ("Family Pack", "فیملی پیک"),
        ("Select", "منتخب"),
        ("Farm", "فارم"),
        ("Aged", "پرانا"),
    ),
    colors=(("", ""),),
    sentence="Keep in a cool and dry place, away from sunlight.",
)

PERFUME: Final = Range(
    kinds=(
        Kind(
            "Oud Oil 12 ml",
            "عود کا تیل",
            "Oud",
            "Health & Beauty > Personal Care > Cosmetics > Perfume & Cologne",
            90,
            950,
            "oud",
        ),
        Kind("Bakhoor 100 g", "بخور", "Oud", "Home & Garden > Decor > Home Fragrances", 45, 320, "oud"),
        Kind(
            "Eau de Parfum 100 ml",
            "پرفیوم",
            "Perfume",
            "Health & Beauty > Personal Care > Cosmetics > Perfume & Cologne",
            80,
            640,
        ),
        Kind(
            "Attar 6 ml", "عطر", "Perfume", "Health & Beauty > Personal Care > Cosmetics > Perfume & Cologne", 25, 180
        ),
        Kind(
            "Incense Burner", "بخور دان", "Home", "Home & Garden > Decor > Home Fragrance Accessories", 60, 410, "gifts"
        ),
        Kind("Gift Set", "تحفہ سیٹ", "Gifts", "Health & Beauty > Personal Care > Cosmetics", 120, 780, "gifts"),
    ),
    brands=("Abra", "Layali Creek", "Sikka Lane", "Rihab", "Zaytuna"),
    qualities=(
        ("Royal", "شاہی"),
        ("Night", "رات"),
        ("Amber", "عنبر"),
        ("White Musk", "سفید مشک"),
        ("Saffron", "زعفران"),
        ("Sandal", "صندل"),
    ),
    colors=(("", ""),),
    sentence="Blended in small batches; the scent lasts through the day.",
)

RANGES: Final[dict[str, Range]] = {
    "clothing": CLOTHING,
    "electronics": ELECTRONICS,
    "home": HOME,
    "grocery": GROCERY,
    "perfume": PERFUME,
}
