"""What messages say, in English and Urdu.

Nothing that a stranger may choose stands in them: a name from a sign-up would make us send anyone's words to anyone.
"""

from dataclasses import dataclass
from enum import StrEnum


class Template(StrEnum):
    SIGN_UP_CODE = "sign_up_code"
    ACCOUNT_EXISTS = "account_exists"
    RESET_CODE = "reset_code"
    CONTACT_CODE = "contact_code"
    CONTACT_CHANGED = "contact_changed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # the name of a text


@dataclass(frozen=True, slots=True)
class Text:
    subject: str
    body: str


_ENGLISH = {
    Template.SIGN_UP_CODE: Text(
        "Your Wapsi code",
        "{code} is your code to sign up with Wapsi. It is good for ten minutes. "
        "If you did not ask for it, do nothing: no account is made.",
    ),
    Template.ACCOUNT_EXISTS: Text(
        "You have a Wapsi account already",
        "Somebody, perhaps you, wanted to use this address with Wapsi, and it has an account already. "
        "Sign in with it, or ask for a new password there. If it was not you, do nothing.",
    ),
    Template.RESET_CODE: Text(
        "Your code for a new Wapsi password",
        "{code} is your code to choose a new password for Wapsi. It is good for ten minutes. "
        "Give it to nobody, not even to us. If you did not ask for it, do nothing: your password stays.",
    ),
    Template.CONTACT_CODE: Text(
        "Your Wapsi code",
        "{code} is your code to use this address with your Wapsi account. It is good for ten minutes. "
        "If you did not ask for it, do nothing.",
    ),
    Template.CONTACT_CHANGED: Text(
        "The contact of your Wapsi account was changed",
        "The e-mail address or mobile number of your Wapsi account was changed. "
        "If it was not you, answer to our support at once.",
    ),
    Template.PASSWORD_CHANGED: Text(
        "Your Wapsi password was changed",
        "The password of your Wapsi account was changed, and other devices were signed out. "
        "If it was not you, ask for a new password in the app at once.",
    ),
}
_URDU = {
    Template.SIGN_UP_CODE: Text(
        "آپ کا واپسی کوڈ",
        "{code} واپسی پر اکاؤنٹ بنانے کا کوڈ ہے۔ یہ 10 منٹ تک کارآمد ہے۔ "
        "اگر آپ نے یہ نہیں مانگا تو کچھ نہ کریں، کوئی اکاؤنٹ نہیں بنے گا۔",
    ),
    Template.ACCOUNT_EXISTS: Text(
        "آپ کا واپسی اکاؤنٹ پہلے سے موجود ہے",
        "کسی نے، شاید آپ نے، یہ پتا واپسی پر استعمال کرنا چاہا، مگر اس پر اکاؤنٹ پہلے سے موجود ہے۔ "
        "اسی سے سائن ان کریں یا نیا پاس ورڈ مانگیں۔ اگر یہ آپ نہیں تھے تو کچھ نہ کریں۔",
    ),
    Template.RESET_CODE: Text(
        "نئے واپسی پاس ورڈ کا کوڈ",
        "{code} واپسی کا نیا پاس ورڈ رکھنے کا کوڈ ہے۔ یہ 10 منٹ تک کارآمد ہے۔ "
        "یہ کسی کو نہ بتائیں، ہمیں بھی نہیں۔ اگر آپ نے یہ نہیں مانگا تو کچھ نہ کریں، پاس ورڈ وہی رہے گا۔",
    ),
    Template.CONTACT_CODE: Text(
        "آپ کا واپسی کوڈ",
        "{code} یہ پتا اپنے واپسی اکاؤنٹ کے ساتھ استعمال کرنے کا کوڈ ہے۔ یہ 10 منٹ تک کارآمد ہے۔ "
        "اگر آپ نے یہ نہیں مانگا تو کچھ نہ کریں۔",
    ),
    Template.CONTACT_CHANGED: Text(
        "آپ کے واپسی اکاؤنٹ کا رابطہ بدل دیا گیا ہے",
        "آپ کے واپسی اکاؤنٹ کا ای میل یا موبائل نمبر بدل دیا گیا ہے۔ "
        "اگر یہ آپ نے نہیں کیا تو فوراً ہماری سپورٹ سے رابطہ کریں۔",
    ),
    Template.PASSWORD_CHANGED: Text(
        "آپ کا واپسی پاس ورڈ بدل دیا گیا ہے",
        "آپ کے واپسی اکاؤنٹ کا پاس ورڈ بدل دیا گیا ہے اور دوسرے آلات سے سائن آؤٹ کر دیا گیا ہے۔ "
        "اگر یہ آپ نے نہیں کیا تو فوراً ایپ میں نیا پاس ورڈ مانگیں۔",
    ),
}


def text_of(template: Template, locale: str, code: str = "") -> Text:
    """In Urdu for ur and ur-PK, in English for the rest."""
    text = (_URDU if locale.partition("-")[0] == "ur" else _ENGLISH)[template]
    return Text(text.subject, text.body.format(code=code))
