"""Which passwords are taken: long enough, not one that everybody has, and not the person's own name or address.

Nothing is asked of its characters: such rules make passwords that people forget and guessers know.
"""

import asyncio

from domains.customers.errors import PasswordBreached, PasswordInvalid
from domains.customers.service.accounts import PASSWORD_MAX_LENGTH, PASSWORD_MIN_LENGTH
from wapsi.security.common_passwords import is_common, without_words

_OURS = ("wapsi",)
# Shorter ones would be found in anything.
_WORD_MIN = 4
# So many letters must be left without the words that everybody knows of this person.
_OWN_LETTERS_MIN = 4


async def check_new_password(password: str, *about: str | None) -> None:
    """`about`: what is known of the person, such as name and e-mail. Raises PasswordInvalid and PasswordBreached."""
    if not PASSWORD_MIN_LENGTH <= len(password) <= PASSWORD_MAX_LENGTH:
        raise PasswordInvalid(f"A password has {PASSWORD_MIN_LENGTH} to {PASSWORD_MAX_LENGTH} characters.")
    # In a thread: the list is read when it is first needed.
    if await asyncio.to_thread(is_common, password):
        raise PasswordBreached("Many people have this password, so it is guessed first. Choose another one.")
    words = {word for text in about if text for word in (text, *_words_of(text)) if len(word) >= _WORD_MIN}
    letters = sum(character.isalpha() for character in password)
    left = without_words(password, (*_OURS, *words))
    if len(left) < min(_OWN_LETTERS_MIN, letters):
        raise PasswordBreached("This is your name, your address or ours, so it is guessed first. Choose another one.")


def _words_of(text: str) -> list[str]:
    """Of an e-mail the part before the @, of a name its words."""
    return text.partition("@")[0].replace(".", " ").replace("_", " ").split()
