"""What guessers try first is known in its usual disguises, and what nobody else has is let alone."""

import pytest

from wapsi.security.common_passwords import is_common, without_words


@pytest.mark.parametrize(
    "password",
    [
        "1234567890",
        "qwertyuiop",
        "Password123!",
        "p4ssw0rd2024",
        "PASSWORD!!",
        "12sunshine34",
        "manchester1",
        "passwordpassword",
        "abcabcabcabc",
        "aaaaaaaaaaaa",
        "zyxwvutsrqponm",
        "9876543210",
        "1qaz2wsx3edc",
    ],
)
def test_what_is_guessed_first_is_common(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "nine lives and more",
        "7f3-9921-4410-82",
        "love8827391047263",
        "LGZRzIyh22TwvpH1",
        "بلی کے نو جنم اور",
        "a" * 9 + "b" * 9,
        "😀😃😄😁😆😅🤣😂🙂🙃",
    ],
)
def test_what_is_somebodys_own_is_not(password: str) -> None:
    assert not is_common(password)


def test_a_long_password_is_looked_at_in_no_time_that_matters() -> None:
    """Repetitions are looked for with a pattern: of the lengths that are taken, none makes it walk for ever."""
    for password in ("ab" * 99 + "c", "a" * 199 + "b", "abcd" * 50, "".join(chr(65 + n % 57) for n in range(200))):
        assert is_common(password) == (password == "abcd" * 50)


@pytest.mark.parametrize(
    ("password", "words", "left"),
    [
        ("wapsi-wapsi-1", ("wapsi",), "i"),
        ("W4psi!Asma", ("wapsi", "asma"), "i"),
        ("my wapsi money", ("wapsi",), "mymoney"),
        ("nothing of it", ("wapsi",), "nothingofit"),
    ],
)
def test_words_that_everybody_knows_are_taken_out(password: str, words: tuple[str, ...], left: str) -> None:
    assert without_words(password, words) == left
