"""What a sync would change, decided from hashes and times alone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from domains.offers.service.plan import (
    Plan,
    StoredOffer,
    Survey,
    from_microseconds,
    make_plan,
    new_floor,
    to_microseconds,
)
from domains.offers.validation import content_hash
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOON_US = to_microseconds(NOON)
HOUR = timedelta(hours=1)
Item = Callable[..., pb.OfferItem]


def survey_of(*items: pb.OfferItem) -> Survey:
    survey = Survey(latest_us=NOON_US + 86_400_000_000)
    survey.add(0, items)
    return survey


def plan_of(survey: Survey, stored: dict[str, StoredOffer], *, full: bool = True, floor_us: int = 0) -> Plan:
    return make_plan(survey, stored, floor_us=floor_us, full=full, as_of_us=NOON_US)


def stored(item: pb.OfferItem, at: datetime = NOON, *, active: bool = True) -> StoredOffer:
    return StoredOffer(content_hash(item.offer), to_microseconds(at), active)


def test_of_one_offer_the_newest_item_counts(item: Item) -> None:
    survey = survey_of(item("a", at=NOON - HOUR), item("a", at=NOON), item("a", at=NOON - 2 * HOUR))
    assert survey.newest["a"].offset == 1
    assert sorted(survey.superseded) == [(0, 1, "a"), (2, 1, "a")]


def test_of_two_items_of_one_time_the_later_counts(item: Item) -> None:
    assert survey_of(item("a"), item("a", price_minor=1)).newest["a"].offset == 1


def test_a_survey_is_the_same_however_items_are_batched(item: Item) -> None:
    items = [item(str(n % 7), at=NOON - n * HOUR) for n in range(20)]
    whole = survey_of(*items)
    parts = Survey(latest_us=whole.latest_us)
    for start in range(0, 20, 3):
        parts.add(start, items[start : start + 3])
    assert parts == whole


def test_items_that_cannot_be_compared_are_set_aside(item: Item) -> None:
    timeless = pb.OfferItem(offer=pb.Offer(offer_id="timeless"))
    survey = survey_of(timeless, item(""), item("future", at=NOON + 48 * HOUR), pb.OfferItem(line=4))
    assert survey.unplaced == {0, 1, 2}
    assert survey.without_offer == 1
    assert survey.newest == {}
    assert {"timeless", "future"} <= survey.mentioned


def test_new_changed_and_unchanged_are_told_apart(item: Item) -> None:
    survey = survey_of(item("new"), item("same"), item("changed", price_minor=1))
    plan = plan_of(survey, {"same": stored(item("same")), "changed": stored(item("changed"))})
    assert (plan.create, plan.update, plan.unchanged) == ({0}, {2}, 1)


def test_an_older_message_never_wins(item: Item) -> None:
    survey = survey_of(item("a", at=NOON - HOUR, price_minor=1))
    plan = plan_of(survey, {"a": stored(item("a"), NOON)})
    assert (plan.stale, plan.update) == (1, set())


def test_an_older_message_does_not_bring_a_withdrawn_offer_back(item: Item) -> None:
    tombstone = {"a": stored(item("a"), NOON, active=False)}
    assert plan_of(survey_of(item("a", at=NOON - HOUR)), tombstone).stale == 1
    assert plan_of(survey_of(item("a", at=NOON + HOUR)), tombstone).update == {0}


def test_the_floor_stands_for_the_times_of_active_offers_only(item: Item) -> None:
    """Stored long ago, seen unchanged in a FULL feed of noon: a change stated in between is old news."""
    survey = survey_of(item("a", at=NOON - HOUR, price_minor=1))
    long_ago = NOON - 100 * HOUR
    assert plan_of(survey, {"a": stored(item("a"), long_ago)}, floor_us=NOON_US).stale == 1
    withdrawn = {"a": stored(item("a"), long_ago, active=False)}
    assert plan_of(survey, withdrawn, floor_us=NOON_US).update == {0}


def test_a_full_sync_withdraws_what_it_did_not_see_and_an_incremental_one_does_not(item: Item) -> None:
    table = {"seen": stored(item("seen")), "gone": stored(item("gone")), "dead": stored(item("dead"), active=False)}
    assert plan_of(survey_of(item("seen")), table).withdraw_unseen == ["gone"]
    assert plan_of(survey_of(item("seen")), table, full=False).withdraw_unseen == []


def test_a_full_sync_leaves_offers_alone_that_were_stated_after_it(item: Item) -> None:
    table = {"newer": stored(item("newer"), NOON + HOUR)}
    assert plan_of(survey_of(item("other")), table).withdraw_unseen == []


def test_a_bad_row_does_not_withdraw_its_offer(item: Item) -> None:
    survey = survey_of(item("a", at=NOON + 48 * HOUR))
    assert plan_of(survey, {"a": stored(item("a"))}).withdraw_unseen == []


def test_a_deletion_withdraws_and_leaves_a_tombstone_where_nothing_was(deletion: Item, item: Item) -> None:
    plan = plan_of(survey_of(deletion("a"), deletion("unknown")), {"a": stored(item("a"), NOON - HOUR)})
    assert plan.withdraw == {"a": NOON_US}
    assert plan.entomb == {"unknown": NOON_US}


def test_unchanged_offers_of_one_feed_time_need_no_write(item: Item) -> None:
    survey = survey_of(item("a"), item("b"))
    table = {name: stored(item(name), NOON - HOUR) for name in "ab"}
    plan = plan_of(survey, table)
    assert (plan.unchanged, plan.touch) == (2, {})
    assert new_floor(survey) == NOON_US


def test_unchanged_offers_stated_later_than_the_floor_are_touched(item: Item) -> None:
    table = {name: stored(item(name), NOON - 2 * HOUR) for name in "ab"}
    plan = plan_of(survey_of(item("a", at=NOON - HOUR), item("b", at=NOON)), table)
    assert plan.touch == {"b": NOON_US}


def test_the_shrink_guard_looks_at_the_share(item: Item) -> None:
    table = {str(n): stored(item(str(n))) for n in range(100)}
    keep = [item(str(n)) for n in range(70)]
    assert not plan_of(survey_of(*keep), table).shrinks_too_much(30)
    assert plan_of(survey_of(*keep[:-1]), table).shrinks_too_much(30)
    assert plan_of(survey_of(), table).shrinks_too_much(30)


def test_the_shrink_guard_leaves_small_catalogues_alone(item: Item) -> None:
    table = {str(n): stored(item(str(n))) for n in range(5)}
    assert not plan_of(survey_of(), table).shrinks_too_much(30)


def test_microseconds_come_back_as_they_were() -> None:
    moment = datetime(2026, 11, 1, 12, 30, 15, 123_456, tzinfo=UTC)
    assert from_microseconds(to_microseconds(moment)) == moment


def test_a_row_that_no_offer_could_be_made_of_does_not_withdraw_its_offer(item: Item) -> None:
    survey = survey_of(pb.OfferItem(line=3, rejected_offer_id="a"))
    assert plan_of(survey, {"a": stored(item("a")), "b": stored(item("b"))}).withdraw_unseen == ["b"]
