"""A second factor: how it is added, asked for and removed, and what an operator may not do without one."""

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import pyotp
import pytest
import time_machine

from domains.customers import service
from domains.customers.service import totp_code
from domains.customers.service.challenges import ATTEMPTS, LIFETIME_S
from tests.domains.customers.second_factors.people import CONFIRMED, PASSWORD, SQL, Person, Post, bearer
from wapsi.clock import now
from wapsi.limits import LimitSettings
from wapsi.runtime import Runtime
from wapsi.security.principal import CredentialsInvalid

# Adding one


async def test_an_app_is_added_and_the_next_sign_in_asks_for_its_code(asma: Person) -> None:
    app, codes = await asma.enrol()
    assert len(set(codes)) == 10
    assert (await asma.get("/factors")).json() == {"totp": True, "passkeys": False, "recovery_codes_left": 10}

    first = await asma.sign_in()
    assert (first.status_code, first.headers["cache-control"]) == (202, "no-store")
    step = first.json()
    assert (step["next"], step["methods"]) == ("second_factor", ["totp", "recovery_code"])
    assert step["expires_in"] == LIFETIME_S
    assert not {"access_token", "refresh_token"} & step.keys()

    second = await asma.verify(step["challenge"], app.code())
    assert (second.status_code, second.headers["cache-control"]) == (201, "no-store")
    assert (await asma.api.get("/v1/me", headers=bearer(second.json()))).status_code == 200


async def test_the_secret_is_shown_as_apps_expect_it_and_is_not_stored_in_the_clear(
    asma: Person, admin_sql: SQL
) -> None:
    made = (await asma.post("/factors/totp", CONFIRMED)).json()
    uri = urlsplit(made["uri"])
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Wapsi:asma%40example.com")
    assert parse_qs(uri.query) == {"secret": [made["secret"]], "issuer": ["Wapsi"]}
    [row] = await admin_sql("SELECT totp_factors::text AS line, secret_encrypted FROM totp_factors")
    assert made["secret"] not in row["line"]
    assert made["secret"].encode() not in row["secret_encrypted"]


async def test_an_app_that_was_not_confirmed_is_not_asked_for_and_may_be_begun_anew(asma: Person) -> None:
    first = (await asma.post("/factors/totp", CONFIRMED)).json()
    assert (await asma.sign_in()).status_code == 201
    second = (await asma.post("/factors/totp", CONFIRMED)).json()
    refused = await asma.post("/factors/totp:confirm", {"code": totp_code(first["secret"])})
    assert (refused.status_code, refused.json()["reason"]) == (403, "FACTOR_CODE_WRONG")
    assert (await asma.post("/factors/totp:confirm", {"code": totp_code(second["secret"])})).status_code == 200


async def test_adding_needs_the_password_and_a_second_app_is_refused(asma: Person) -> None:
    wrong = await asma.post("/factors/totp", {"current_password": "a wrong password"})
    assert (wrong.status_code, wrong.json()["reason"]) == (403, "PASSWORD_WRONG")
    await asma.enrol()
    await asma.refresh()
    again = await asma.post("/factors/totp", CONFIRMED)
    assert (again.status_code, again.json()["reason"]) == (409, "FACTOR_EXISTS")


async def test_the_first_factor_ends_the_other_sessions_and_strengthens_this_one(
    api: httpx2.AsyncClient, asma: Person
) -> None:
    other = Person(api, (await asma.sign_in()).json(), asma.email, asma.door)
    await asma.enrol()
    assert await other.refresh() == 401
    assert await asma.refresh() == 200
    assert (await asma.post("/recovery-codes", CONFIRMED)).status_code == 201, "it counts as a session of two factors"


async def test_who_has_only_the_password_cannot_put_a_factor_of_their_own_beside(asma: Person, admin_sql: SQL) -> None:
    """A session that was there before the factor, and that nobody ended."""
    await asma.enrol()
    assert (await asma.post("/recovery-codes", CONFIRMED)).json()["reason"] == "SECOND_FACTOR_NEEDED"
    assert (await asma.post("/factors/totp", CONFIRMED)).json()["reason"] == "SECOND_FACTOR_NEEDED"


# Codes


async def test_a_session_that_ended_a_moment_ago_elsewhere_adds_nothing(
    asma: Person, runtime: Runtime, admin_sql: SQL
) -> None:
    begun = await asma.post("/factors/totp", CONFIRMED)
    principal = await runtime.authenticator.authenticate(asma.tokens["access_token"])
    await admin_sql("UPDATE sessions SET revoked_at = now()")
    code = totp_code(begun.json()["secret"])
    with pytest.raises(CredentialsInvalid):
        async with runtime.db.write() as session:
            await service.finish_totp(session, runtime.keys, principal, code)
    assert await admin_sql("SELECT 1 FROM totp_factors WHERE confirmed_at IS NOT NULL") == []


async def test_a_code_counts_once(asma: Person) -> None:
    app, _codes = await asma.enrol()
    code = app.code()
    assert (await asma.verify(await asma.challenge(), code)).status_code == 201
    again = await asma.verify(await asma.challenge(), code)
    assert (again.status_code, again.json()["reason"]) == (401, "SECOND_FACTOR_INVALID")


async def test_of_many_who_send_one_code_at_once_one_gets_in(asma: Person) -> None:
    app, _codes = await asma.enrol()
    challenges = [await asma.challenge() for _ in range(4)]
    code = app.code()
    answers = await asyncio.gather(*(asma.verify(challenge, code) for challenge in challenges))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401]


async def test_a_code_that_is_minutes_old_or_ahead_is_refused(asma: Person) -> None:
    app, _codes = await asma.enrol()
    challenge = await asma.challenge()
    for minutes in (-2, 2):
        code = pyotp.TOTP(app.secret).at(now() + timedelta(minutes=minutes))
        assert (await asma.verify(challenge, code)).status_code == 401


async def test_a_recovery_code_counts_once_however_it_is_typed(asma: Person) -> None:
    _app, codes = await asma.enrol()
    typed = codes[0].lower().replace("-", " ")
    assert (await asma.verify(await asma.challenge(), typed)).status_code == 201
    assert (await asma.verify(await asma.challenge(), codes[0])).status_code == 401
    assert (await asma.verify(await asma.challenge(), codes[1])).status_code == 201
    assert (await asma.get("/factors")).json()["recovery_codes_left"] == 8


async def test_new_recovery_codes_take_the_place_of_the_earlier_ones(asma: Person, admin_sql: SQL) -> None:
    _app, old = await asma.enrol()
    await asma.refresh()
    new = (await asma.post("/recovery-codes", CONFIRMED)).json()["recovery_codes"]
    assert not set(old) & set(new)
    assert (await asma.verify(await asma.challenge(), old[0])).status_code == 401
    assert (await asma.verify(await asma.challenge(), new[0])).status_code == 201
    stored = "".join(row["line"] for row in await admin_sql("SELECT recovery_codes::text AS line FROM recovery_codes"))
    assert not any(code.replace("-", "") in stored for code in new)


async def test_anothers_code_is_of_no_use(api: httpx2.AsyncClient, asma: Person, sign_up: Post) -> None:
    await sign_up("bilal@example.com")
    bilal = Person(api, {}, "bilal@example.com", "/v1/sessions")
    bilal.tokens = (await bilal.sign_in()).json()
    await asma.enrol()
    app, codes = await bilal.enrol()
    challenge = await asma.challenge()
    assert [(await asma.verify(challenge, code)).status_code for code in (app.code(), codes[0])] == [401, 401]


# Challenges


async def test_a_challenge_is_good_for_five_attempts(asma: Person) -> None:
    _app, codes = await asma.enrol()
    challenge = await asma.challenge()
    for _ in range(ATTEMPTS):
        answer = await asma.verify(challenge, "AAAAA-AAAAA")
        assert (answer.status_code, answer.json()["reason"]) == (401, "SECOND_FACTOR_INVALID")
    late = await asma.verify(challenge, codes[0])
    assert (late.status_code, late.json()["reason"]) == (401, "CHALLENGE_INVALID")
    assert (await asma.verify(await asma.challenge(), codes[0])).status_code == 201, "the code was not used up"


async def test_a_challenge_is_good_for_one_sign_in(asma: Person) -> None:
    _app, codes = await asma.enrol()
    challenge = await asma.challenge()
    assert (await asma.verify(challenge, codes[0])).status_code == 201
    again = await asma.verify(challenge, codes[1])
    assert (again.status_code, again.json()["reason"]) == (401, "CHALLENGE_INVALID")


async def test_a_challenge_expires(asma: Person) -> None:
    _app, codes = await asma.enrol()
    challenge = await asma.challenge()
    with time_machine.travel(now() + timedelta(seconds=LIFETIME_S + 1), tick=True):
        assert (await asma.verify(challenge, codes[0])).json()["reason"] == "CHALLENGE_INVALID"


@pytest.mark.parametrize(
    "change",
    ["password_hash = 'another'", "status = 'suspended'", "status = 'deleted'"],
    ids=["password", "suspended", "deleted"],
)
async def test_a_challenge_dies_with_the_password_and_the_account(asma: Person, admin_sql: SQL, change: str) -> None:
    _app, codes = await asma.enrol()
    challenge = await asma.challenge()
    await admin_sql(f"UPDATE customers SET {change}")
    assert (await asma.verify(challenge, codes[0])).json()["reason"] == "CHALLENGE_INVALID"


async def test_no_other_token_passes_as_a_challenge_nor_a_challenge_as_another(
    api: httpx2.AsyncClient, asma: Person
) -> None:
    app, _codes = await asma.enrol()
    challenge = await asma.challenge()
    for token in ("", "nonsense", asma.tokens["access_token"], challenge[:-8] + "AAAAAAAA"):
        answer = await asma.verify(token, app.code())
        assert (answer.status_code, answer.json()["reason"]) == (401, "CHALLENGE_INVALID")
    assert (await api.get("/v1/me", headers={"Authorization": f"Bearer {challenge}"})).status_code == 401


async def test_answered_challenges_are_forgotten_once_they_have_expired(
    asma: Person, runtime: Runtime, admin_sql: SQL
) -> None:
    app, _codes = await asma.enrol()
    await asma.verify(await asma.challenge(), app.code())
    for minutes, left in ((1, 1), (11, 0)):
        with time_machine.travel(now() + timedelta(minutes=minutes), tick=True):
            async with runtime.db.write() as session:
                await service.forget_sessions(session)
        assert len(await admin_sql("SELECT 1 FROM challenges")) == left


async def test_who_guesses_on_is_slowed_down_over_all_challenges(asma: Person, runtime: Runtime) -> None:
    await asma.enrol()
    runtime.limits.is_on = True
    reasons = []
    for _ in range(4):
        challenge = await asma.challenge()
        reasons += [(await asma.verify(challenge, "AAAAA-AAAAA")).json()["reason"] for _ in range(3)]
    assert reasons[:9] == ["SECOND_FACTOR_INVALID"] * 9, "five a challenge, ten in all"
    assert reasons[-1] == "RATE_LIMITED"


async def test_who_goes_on_for_a_day_has_a_limit_too_and_a_new_password_ends_it(
    asma: Person, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, recovery_codes = await asma.enrol()
    settings = LimitSettings(rate_limit_second_factor="1000/600", rate_limit_second_factor_day="6/86400")
    monkeypatch.setattr(runtime.limits, "_policies", settings.policies())
    runtime.limits.is_on = True
    reasons = []
    for _ in range(3):
        challenge = await asma.challenge()
        reasons += [(await asma.verify(challenge, "AAAAA-AAAAA")).json()["reason"] for _ in range(3)]
    assert reasons == ["SECOND_FACTOR_INVALID"] * 6 + ["RATE_LIMITED"] * 3
    new = {"current_password": PASSWORD, "new_password": "seven green parrots"}
    assert (await asma.post("/password", new)).status_code == 204
    answer = await asma.api.post(asma.door, json={"email": asma.email, "password": new["new_password"]})
    assert (await asma.verify(answer.json()["challenge"], recovery_codes[0])).status_code == 201


# Removing


async def test_an_app_is_removed_by_password_and_code_and_is_not_asked_for_again(asma: Person, admin_sql: SQL) -> None:
    app, codes = await asma.enrol()
    for body, reason in (
        ({"current_password": "a wrong password", "code": app.code()}, "PASSWORD_WRONG"),
        ({"current_password": PASSWORD, "code": "AAAAA-AAAAA"}, "FACTOR_CODE_WRONG"),
    ):
        refused = await asma.post("/factors/totp:remove", body)
        assert (refused.status_code, refused.json()["reason"]) == (403, reason)
    assert (await asma.sign_in()).status_code == 202
    removed = await asma.post("/factors/totp:remove", CONFIRMED | {"code": codes[0]})
    assert removed.status_code == 204
    assert (await asma.sign_in()).status_code == 201
    assert await admin_sql("SELECT 1 FROM recovery_codes") == [], "codes alone are of no use"
    gone = await asma.post("/factors/totp:remove", CONFIRMED | {"code": codes[1]})
    assert (gone.status_code, gone.json()["reason"]) == (404, "FACTOR_NOT_FOUND")


async def test_there_are_no_recovery_codes_without_a_factor(asma: Person) -> None:
    answer = await asma.post("/recovery-codes", CONFIRMED)
    assert (answer.status_code, answer.json()["reason"]) == (404, "FACTOR_NOT_FOUND")


async def test_all_factors_of_an_account_go_at_once(asma: Person, runtime: Runtime, admin_sql: SQL) -> None:
    await asma.enrol()
    me = await runtime.authenticator.authenticate(asma.tokens["access_token"])
    async with runtime.db.write() as session:
        await service.remove_factors(session, service.SubjectKind.CUSTOMER, me.id)
    assert (await asma.sign_in()).status_code == 201
