"""Account numbers as people type them, checked and brought into one form."""

import re

from domains.customers.errors import IBANInvalid, MobileNumberInvalid

# ISO 13616: country, two check digits, 11 to 30 characters of the bank's own.
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
# The State Bank of Pakistan's form: a bank of four letters, an account of 16 characters.
_IBAN_PK = re.compile(r"PK[0-9]{2}[A-Z]{4}[A-Z0-9]{16}")
_MOBILE_PK = re.compile(r"(?:\+92|0092|92|0)(3[0-9]{9})")
_SEPARATORS = re.compile(r"[ -]")


def check_iban(text: str) -> str:
    """In upper case without spaces. Raises IBANInvalid; its message does not repeat the number."""
    iban = _SEPARATORS.sub("", text).upper()
    if not _IBAN.fullmatch(iban) or (iban.startswith("PK") and not _IBAN_PK.fullmatch(iban)):
        raise IBANInvalid("This is not an IBAN. A Pakistani one has 24 characters, such as PK36SCBL0000001123456702.")
    if _mod_97(iban) != 1:
        raise IBANInvalid("The IBAN's check digits do not fit: a character is wrong or two are swapped.")
    return iban


def _mod_97(iban: str) -> int:
    """ISO 7064: the country and check digits go last, letters count from A = 10; what remains must be 1."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97


def check_mobile_number(text: str) -> str:
    """A Pakistani mobile number in E.164. Raises MobileNumberInvalid; its message does not repeat the number."""
    match = _MOBILE_PK.fullmatch(_SEPARATORS.sub("", text))
    if match is None:
        raise MobileNumberInvalid("This is not a Pakistani mobile number, such as +923001234567 or 0300 1234567.")
    return f"+92{match[1]}"


def mask(account: str) -> str:
    """For display: the country or its calling code, and the last four characters."""
    lead = 3 if account.startswith("+") else 2
    return f"{account[:lead]}{'•' * (len(account) - lead - 4)}{account[-4:]}"
