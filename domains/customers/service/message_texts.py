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
    TOTP_ADDED = "totp_added"
    TOTP_REMOVED = "totp_removed"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    FACTORS_RESET = "factors_reset"
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed"
    RECOVERY_CODE_USED = "recovery_code_used"
    PAYOUT_METHOD_ADDED = "payout_method_added"
    PAYOUT_REQUESTED = "payout_requested"
    PAYOUT_PAID = "payout_paid"
    PAYOUT_FAILED = "payout_failed"
    CLAIM_ASKED = "claim_asked"
    CLAIM_ENDED = "claim_ended"


# These are of no use later; what tells of a change is, even a day late.
SHORT_LIVED = frozenset({Template.SIGN_UP_CODE, Template.ACCOUNT_EXISTS, Template.RESET_CODE, Template.CONTACT_CODE})
# Good to know, and no alarm: one contact is enough.
NEWS = frozenset({Template.PAYOUT_PAID, Template.PAYOUT_FAILED, Template.CLAIM_ASKED, Template.CLAIM_ENDED})


@dataclass(frozen=True, slots=True)
class Text:
    subject: str
    body: str


_NOT_YOU = "If it was not you, ask for a new password in the app at once, and tell our support."
_NOT_YOU_URDU = "اگر یہ آپ نے نہیں کیا تو فوراً ایپ میں نیا پاس ورڈ مانگیں اور ہماری سپورٹ کو بتائیں۔"
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
    Template.TOTP_ADDED: Text(
        "An authenticator app was added to your Wapsi account",
        f"An authenticator app was added to your Wapsi account: signing in asks for its code now. {_NOT_YOU}",
    ),
    Template.TOTP_REMOVED: Text(
        "The authenticator app of your Wapsi account was removed",
        f"The authenticator app of your Wapsi account was removed: its codes are not asked for any more. {_NOT_YOU}",
    ),
    Template.PASSKEY_ADDED: Text(
        "A passkey was added to your Wapsi account",
        f"A passkey was added to your Wapsi account: it signs in without the password. {_NOT_YOU}",
    ),
    Template.PASSKEY_REMOVED: Text(
        "A passkey of your Wapsi account was removed",
        f"A passkey of your Wapsi account was removed: it does not sign in any more. {_NOT_YOU}",
    ),
    Template.FACTORS_RESET: Text(
        "The second factors of your Wapsi account were removed",
        "The authenticator app, passkeys and recovery codes of your Wapsi account were removed: the password alone "
        f"signs in now. {_NOT_YOU}",
    ),
    Template.RECOVERY_CODES_RENEWED: Text(
        "Your Wapsi account has new recovery codes",
        f"Your Wapsi account has new recovery codes: the earlier ones are good for nothing any more. {_NOT_YOU}",
    ),
    Template.RECOVERY_CODE_USED: Text(
        "A recovery code of your Wapsi account was used",
        f"A recovery code of your Wapsi account was used, and is good for nothing any more. {_NOT_YOU}",
    ),
    Template.PAYOUT_METHOD_ADDED: Text(
        "An account to be paid to was added to your Wapsi account",
        f"A bank account or mobile wallet was added to your Wapsi account, to withdraw cashback to. {_NOT_YOU}",
    ),
    Template.PAYOUT_REQUESTED: Text(
        "A withdrawal from your Wapsi account was asked for",
        "A withdrawal of your Wapsi cashback was asked for: see it in the app, where it can be cancelled until it is "
        f"sent. {_NOT_YOU}",
    ),
    Template.PAYOUT_PAID: Text(
        "Your withdrawal was paid",
        "Your withdrawal of Wapsi cashback was paid. See the amount, and where it went, in the app.",
    ),
    Template.PAYOUT_FAILED: Text(
        "Your withdrawal could not be paid",
        "Your withdrawal of Wapsi cashback could not be paid, and the money is in your balance again. "
        "Check the account that it was to go to in the app, and try once more.",
    ),
    Template.CLAIM_ASKED: Text(
        "We have a question about your claim",
        "We have a question about your Wapsi claim. Read and answer it in the app: without an answer it expires.",
    ),
    Template.CLAIM_ENDED: Text(
        "Your claim has an outcome",
        "Your Wapsi claim has an outcome: see it, and why it is so, in the app.",
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
    Template.TOTP_ADDED: Text(
        "آپ کے واپسی اکاؤنٹ میں تصدیقی ایپ شامل کی گئی ہے",
        f"آپ کے واپسی اکاؤنٹ میں تصدیقی ایپ شامل کی گئی ہے۔ اب سائن ان پر اس کا کوڈ مانگا جائے گا۔ {_NOT_YOU_URDU}",
    ),
    Template.TOTP_REMOVED: Text(
        "آپ کے واپسی اکاؤنٹ سے تصدیقی ایپ ہٹا دی گئی ہے",
        f"آپ کے واپسی اکاؤنٹ سے تصدیقی ایپ ہٹا دی گئی ہے۔ اب اس کا کوڈ نہیں مانگا جائے گا۔ {_NOT_YOU_URDU}",
    ),
    Template.PASSKEY_ADDED: Text(
        "آپ کے واپسی اکاؤنٹ میں پاس کی شامل کی گئی ہے",
        f"آپ کے واپسی اکاؤنٹ میں پاس کی شامل کی گئی ہے۔ یہ پاس ورڈ کے بغیر سائن ان کرتی ہے۔ {_NOT_YOU_URDU}",
    ),
    Template.PASSKEY_REMOVED: Text(
        "آپ کے واپسی اکاؤنٹ سے پاس کی ہٹا دی گئی ہے",
        f"آپ کے واپسی اکاؤنٹ سے پاس کی ہٹا دی گئی ہے۔ اب اس سے سائن ان نہیں ہو گا۔ {_NOT_YOU_URDU}",
    ),
    Template.FACTORS_RESET: Text(
        "آپ کے واپسی اکاؤنٹ کے اضافی حفاظتی طریقے ہٹا دیے گئے ہیں",
        "آپ کے واپسی اکاؤنٹ سے تصدیقی ایپ، پاس کی اور بحالی کے کوڈ ہٹا دیے گئے ہیں۔ "
        f"اب صرف پاس ورڈ سے سائن ان ہوتا ہے۔ {_NOT_YOU_URDU}",
    ),
    Template.RECOVERY_CODES_RENEWED: Text(
        "آپ کے واپسی اکاؤنٹ کے بحالی کے نئے کوڈ بن گئے ہیں",
        f"آپ کے واپسی اکاؤنٹ کے بحالی کے نئے کوڈ بن گئے ہیں۔ پرانے کوڈ اب کسی کام کے نہیں۔ {_NOT_YOU_URDU}",
    ),
    Template.RECOVERY_CODE_USED: Text(
        "آپ کے واپسی اکاؤنٹ کا بحالی کا کوڈ استعمال ہوا ہے",
        f"آپ کے واپسی اکاؤنٹ کا بحالی کا ایک کوڈ استعمال ہوا ہے، اور اب کسی کام کا نہیں۔ {_NOT_YOU_URDU}",
    ),
    Template.PAYOUT_METHOD_ADDED: Text(
        "آپ کے واپسی اکاؤنٹ میں رقم وصول کرنے کا نیا اکاؤنٹ شامل کیا گیا ہے",
        f"آپ کے واپسی اکاؤنٹ میں کیش بیک نکلوانے کے لیے بینک اکاؤنٹ یا موبائل والٹ شامل کیا گیا ہے۔ {_NOT_YOU_URDU}",
    ),
    Template.PAYOUT_REQUESTED: Text(
        "آپ کے واپسی اکاؤنٹ سے رقم نکلوانے کی درخواست ہوئی ہے",
        "واپسی سے آپ کا کیش بیک نکلوانے کی درخواست ہوئی ہے۔ "
        f"اسے ایپ میں دیکھیں، بھیجے جانے سے پہلے وہیں منسوخ بھی ہو سکتی ہے۔ {_NOT_YOU_URDU}",
    ),
    Template.PAYOUT_PAID: Text(
        "آپ کی رقم ادا کر دی گئی ہے",
        "واپسی سے آپ کا نکلوایا ہوا کیش بیک ادا کر دیا گیا ہے۔ رقم اور اکاؤنٹ کی تفصیل ایپ میں دیکھیں۔",
    ),
    Template.PAYOUT_FAILED: Text(
        "آپ کی رقم ادا نہیں ہو سکی",
        "واپسی سے آپ کا نکلوایا ہوا کیش بیک ادا نہیں ہو سکا، اور رقم پھر سے آپ کے بیلنس میں ہے۔ "
        "ایپ میں وصولی کا اکاؤنٹ دیکھ کر دوبارہ کوشش کریں۔",
    ),
    Template.CLAIM_ASKED: Text(
        "آپ کے دعوے کے بارے میں ہمارا ایک سوال ہے",
        "واپسی پر آپ کے کیش بیک کے دعوے کے بارے میں ہمارا ایک سوال ہے۔ اسے ایپ میں پڑھیں اور جواب دیں، "
        "جواب کے بغیر دعویٰ ختم ہو جائے گا۔",
    ),
    Template.CLAIM_ENDED: Text(
        "آپ کے دعوے کا فیصلہ ہو گیا ہے",
        "واپسی پر آپ کے کیش بیک کے دعوے کا فیصلہ ہو گیا ہے۔ فیصلہ اور اس کی وجہ ایپ میں دیکھیں۔",
    ),
}


def text_of(template: Template, locale: str, code: str = "") -> Text:
    """In Urdu for ur and ur-PK, in English for the rest."""
    text = (_URDU if locale.partition("-")[0] == "ur" else _ENGLISH)[template]
    return Text(text.subject, text.body.format(code=code))
