"""Which model answers: stable and proportional choice, swaps beside the requests, refusals, and items added live."""

from __future__ import annotations

import gc
import logging
import shutil
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import segue
from segue.artefacts import writing
from segue.errors import (
    ArtefactCorrupt,
    ArtefactForeign,
    ArtefactNotFound,
    ModelNameBad,
    ModelNeedsTorch,
    NoModelServes,
)
from segue.serving.models import served as served_module
from segue.serving.models.dealing import share_of
from segue.serving.models.models import REFUSED, Models, ModelsConfig
from segue.serving.models.served import Served
from tests.serving.models.shelf import Alarms, Shelf, best, popular

USERS = [f"u{number}" for number in range(3_000)]


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {number: popular(folder, f"m{number}", number) for number in range(3)}


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def models(shelf, artefacts):
    return Models.open(shelf, artefacts[0], alarm=Alarms())


def shares(models, users=USERS):
    chosen = [models.choose(user).name for user in users]
    return {name: chosen.count(name) / len(users) for name in set(chosen)}


def test_the_first_artefact_is_registered_and_answers(models):
    assert models.choose("u1").name == "m0"
    assert best(models.choose("u1")) == 0
    (info,) = models.all()
    assert (info.row.role, info.loaded, info.refused) == ("active", True, None)


def test_a_restart_serves_what_the_store_says_and_not_what_it_was_started_with(models, shelf, artefacts):
    models.add(artefacts[1])
    models.activate("m1")
    assert Models.open(shelf, artefacts[0]).choose("u1").name == "m1"
    assert Models.open(shelf).choose("u1").name == "m1"


def test_an_artefact_that_the_store_does_not_know_waits_where_others_answer_and_that_is_said(models, shelf, artefacts):
    started = Models.open(shelf, artefacts[2])
    assert started.choose("u1").name == "m0"
    assert started.registry.row("m2").role == "waiting"
    for words in ("m0 answers", "is new here", "POST /v1/models/m2/activate", "--activate"):
        assert words in started.told
    again = Models.open(shelf, artefacts[2])
    assert again.choose("u1").name == "m0"
    assert "is registered as m2" in again.told
    started.activate("m2")
    assert Models.open(shelf, artefacts[2]).told is None


def test_an_artefact_that_is_to_be_activated_at_the_start_is_known_or_not(models, shelf, artefacts):
    assert models.told is None
    started = Models.open(shelf, artefacts[2], activate=True)
    assert (started.choose("u1").name, started.told) == ("m2", None)
    assert Models.open(shelf, artefacts[0], activate=True).choose("u1").name == "m0"
    assert Models.open(shelf, artefacts[0], activate=True).roll_back() == ["m2"]


def test_a_shadow_that_was_activated_at_the_start_is_one_again_after_a_roll_back(models, shelf, artefacts):
    models.add(artefacts[1], role="shadow")
    started = Models.open(shelf, artefacts[1], activate=True)
    assert started.roll_back() == ["m0"]
    assert started.registry.row("m1").role == "shadow"


def test_what_was_learnt_on_from_an_artefact_answers_for_it(models, shelf, artefacts):
    models.add(artefacts[1], source=artefacts[0])
    models.activate("m1")
    started = Models.open(shelf, artefacts[0])
    assert (started.choose("u1").name, started.told) == ("m1", None)


def test_an_artefact_known_by_another_name_is_activated_by_that_where_none_answers(shelf, artefacts):
    Models(shelf).add(artefacts[1], "films")
    started = Models.open(shelf, artefacts[1])
    assert [(each.row.name, each.row.role) for each in started.all()] == [("films", "active")]


def test_nobody_can_be_asked_where_nothing_is_registered(shelf, tmp_path):
    with pytest.raises(NoModelServes, match="none is registered"):
        Models.open(shelf)
    with pytest.raises(ArtefactNotFound):
        Models.open(shelf, tmp_path / "nothing")
    assert shelf.model_rows() == []


def test_users_are_dealt_by_the_weights_and_stay_where_they_are(models, shelf, artefacts):
    models.add(artefacts[1], role="active", weight=3.0)
    models.refresh()
    found = shares(models)
    # 3,000 users: three standard deviations of a share of 3/4 are 0.024.
    assert found["m1"] == pytest.approx(0.75, abs=0.024)
    again = Models.open(shelf)
    assert all(models.choose(user).name == again.choose(user).name for user in USERS)


def test_another_salt_deals_users_anew(shelf, artefacts):
    models = Models.open(shelf, artefacts[0])
    models.add(artefacts[1], role="active")
    other = Models.open(shelf, settings=ModelsConfig(salt="again"))
    models.refresh()
    same = np.mean([models.choose(user).name == other.choose(user).name for user in USERS])
    assert same == pytest.approx(0.5, abs=0.03)


def test_an_update_of_one_arm_leaves_every_user_in_theirs(models, artefacts):
    models.add(artefacts[1], role="active")
    models.refresh()
    before = {user: models.choose(user).name for user in USERS}
    models.add(artefacts[2])
    models.activate("m2", instead_of="m0")
    models.refresh()
    taken = {"m0": "m2", "m1": "m1"}
    assert all(models.choose(user).name == taken[name] for user, name in before.items())


def test_hashes_of_users_are_even(models):
    points = np.array([share_of("segue", user) for user in USERS])
    # Kolmogorov and Smirnov: 1.63 / sqrt(n) is passed once in a hundred.
    even = np.abs(np.sort(points) - (np.arange(len(points)) + 0.5) / len(points)).max()
    assert even < 1.63 / np.sqrt(len(points))


def test_anybody_without_an_id_is_dealt_by_chance(models, artefacts):
    models.add(artefacts[1], role="active")
    models.refresh()
    assert set(shares(models, [None] * 100)) == {"m0", "m1"}


def test_the_main_model_is_that_of_the_greatest_weight(models, artefacts):
    assert models.main().name == "m0"
    models.add(artefacts[1], role="active", weight=3.0)
    models.add(artefacts[2], role="active", weight=2.0)
    models.refresh()
    assert {models.main().name for _ in range(50)} == {"m1"}


def test_a_model_of_weight_0_is_asked_by_nobody(models, artefacts):
    models.add(artefacts[1], role="active", weight=0.0)
    models.refresh()
    assert set(shares(models)) == {"m0"}


def test_shadows_are_loaded_and_answer_nobody(models, artefacts):
    models.add(artefacts[1], role="shadow")
    models.refresh()
    assert [served.name for served in models.shadows()] == ["m1"]
    assert set(shares(models)) == {"m0"}
    assert models.named("m1") is models.shadows()[0]


def test_waiting_models_are_not_loaded(models, artefacts):
    models.add(artefacts[1])
    models.refresh()
    assert [(info.row.name, info.loaded) for info in models.all()] == [("m0", True), ("m1", False)]


def test_roll_back_asks_the_model_before(models, artefacts):
    models.add(artefacts[1])
    models.activate("m1")
    models.refresh()
    assert best(models.choose("u1")) == 1
    assert models.roll_back() == ["m0"]
    models.refresh()
    assert best(models.choose("u1")) == 0


def test_the_memory_of_a_model_that_left_is_freed(models, artefacts):
    old = weakref.ref(models.choose("u1").recommender)
    models.add(artefacts[1])
    models.activate("m1")
    models.refresh()
    gc.collect()
    assert old() is None


# -- refusals --------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(artefacts, tmp_path):
    copy = tmp_path / "broken"
    shutil.copytree(artefacts[1], copy)
    return copy


def damage(path):
    part = next(path.glob("histories.*"))
    part.write_bytes(part.read_bytes()[:-1] + b"!")


def test_a_damaged_artefact_is_refused_before_it_is_registered_or_activated(models, broken):
    models.add(broken)
    damage(broken)
    with pytest.raises(ArtefactCorrupt):
        models.activate("broken")
    with pytest.raises(ArtefactCorrupt):
        models.add(broken, name="again")
    assert [row.name for row in models.registry.rows()] == ["m0", "broken"]


@pytest.mark.parametrize("trouble", [damage, shutil.rmtree])
def test_where_the_new_one_is_damaged_or_gone_the_old_one_stays_and_an_alarm_says_so(models, broken, trouble):
    models.add(broken)
    models.registry.activate("broken")  # another replica found it whole
    trouble(broken)
    models.refresh()
    assert models.choose("u1").name == "m0"
    assert best(models.choose("u1")) == 0
    assert models.alarm.raised == [REFUSED]
    assert "broken" in models.alarm.now[REFUSED]
    assert next(info for info in models.all() if info.row.name == "broken").refused


def test_the_alarm_ends_when_the_artefact_is_brought_back(models, broken, artefacts, monkeypatch):
    models.add(broken)
    models.registry.activate("broken")
    damage(broken)
    models.refresh()
    shutil.rmtree(broken)
    shutil.copytree(artefacts[1], broken)
    monkeypatch.setattr("segue.serving.models.models._RETRY_S", 0.0)
    models._refused = {key: (0.0, why) for key, (_, why) in models._refused.items()}
    models.refresh()
    assert models.choose("u1").name == "broken"
    assert models.alarm.now[REFUSED] is None


def test_a_refused_artefact_is_not_read_again_at_every_look(shelf, artefacts, broken):
    loads = []

    def load(row):
        loads.append(row.name)
        return Served.load(row)

    models = Models.open(shelf, artefacts[0], load=load)
    models.add(broken)
    models.registry.activate("broken")
    damage(broken)
    for _ in range(5):
        models.refresh()
    assert loads.count("broken") == 1


def test_one_refused_arm_of_two_leaves_the_other_where_it_was(models, artefacts, broken):
    models.add(artefacts[1], role="active")
    models.refresh()
    before = {user: models.choose(user).name for user in USERS}
    models.add(broken)
    models.registry.activate("broken", instead_of="m1")
    damage(broken)
    models.refresh()
    assert {user: models.choose(user).name for user in USERS} == before


def test_at_the_start_a_damaged_one_is_replaced_by_what_answered_before_it(models, shelf, broken):
    models.add(broken)
    models.activate("broken")
    damage(broken)
    alarms = Alarms()
    again = Models.open(shelf, alarm=alarms)
    assert again.choose("u1").name == "m0"
    assert "broken" in alarms.now[REFUSED]


def test_an_artefact_that_loads_and_cannot_answer_is_refused(models, artefacts, monkeypatch):
    models.add(artefacts[1])
    models.registry.activate("m1")

    class Mute:
        def __init__(self, recommender):
            self.item_vocabulary = recommender.item_vocabulary

        def recommend(self, **_):
            raise ZeroDivisionError

    load = served_module.load
    monkeypatch.setattr(served_module, "load", lambda path: Mute(load(path)))
    models.refresh()
    assert models.choose("u1").name == "m0"
    assert "first question" in models.alarm.now[REFUSED]


def test_a_model_whose_library_is_not_installed_says_how_to_serve_it(models, artefacts, monkeypatch):
    def load(path):
        raise ModuleNotFoundError("No module named 'torch'", name="torch.nn")

    monkeypatch.setattr(served_module, "load", load)
    with pytest.raises(ModelNeedsTorch, match=r"needs torch.*segue export"):
        Served.load(models.registry.rows()[0])


def test_what_is_no_recommender_or_has_no_proper_name_is_not_registered(models, artefacts, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtefactNotFound):
        models.add(tmp_path / "empty")
    with writing(tmp_path / "other", "Notes"):
        pass
    with pytest.raises(ArtefactForeign, match="'Notes', not recommender"):
        models.add(tmp_path / "other")
    for name in ("a/b", "(update)", " ", "..", "a\nb"):
        with pytest.raises(ModelNameBad):
            models.add(artefacts[1], name=name)
    assert [row.name for row in models.registry.rows()] == ["m0"]


def test_a_model_that_is_added_again_keeps_what_is_known_of_it_and_takes_the_role(models, artefacts):
    models.add(artefacts[1])
    models.activate("m1")
    before = models.registry.row("m1")
    assert models.add(artefacts[1], role="active", weight=3.0) == "m1"
    after = models.registry.row("m1")
    assert (after.created, after.document, after.weight) == (before.created, before.document, 3.0)


# -- items that come between updates -----------------------------------------------------------------------------


def knows(served, item):
    return int(served.recommender.item_vocabulary.encode([item])[0]) > 0


def test_items_put_in_the_store_are_known_to_every_model_in_memory_and_to_those_that_come(models, shelf, artefacts):
    models.add(artefacts[1], role="shadow")
    models.refresh()
    before = models.choose("u1")
    shelf.put_items([{"item_id": "77", "title": "New"}, {"item_id": "1", "title": "Told anew"}])
    models.refresh()
    assert all(knows(served, 77) for served in models.serving())
    assert models.choose("u1").recommender.titles[1] == "Told anew"
    assert not knows(before, 77)  # who was asked before goes on with what they had
    models.add(artefacts[2])
    models.activate("m2")
    models.refresh()
    assert models.choose("u1").name == "m2"
    assert knows(models.choose("u1"), 77)


def test_a_column_that_a_row_does_not_tell_stays_and_the_newest_word_counts(models, shelf):
    shelf.put_items([{"item_id": "1", "price": 3.0}, {"item_id": "2", "title": "first"}])
    shelf.put_items([{"item_id": "2", "title": "second"}])
    models.refresh()
    items = models.choose().recommender.items
    assert items.filter(item_id=1)["title"].item() == "Film 1"
    assert items.filter(item_id=2)["title"].item() == "second"


def test_a_row_that_cannot_be_taken_stands_in_nobodys_way(models, shelf):
    shelf.put_items([{"item_id": "no number", "title": "a"}, {"item_id": "78", "title": "b"}])
    models.refresh()
    assert knows(models.choose(), 78)


@pytest.mark.parametrize("error", [RuntimeError("inference failed"), KeyError("title"), pl.exceptions.PanicException()])
def test_an_item_that_breaks_a_model_keeps_no_other_item_and_no_other_model_away(
    models, shelf, artefacts, monkeypatch, error
):
    grow = segue.Popular._grow

    def breaks(self, growth):
        if "poison" in growth.told_items["title"].to_list():
            raise error
        grow(self, growth)

    monkeypatch.setattr(segue.Popular, "_grow", breaks)
    shelf.put_items([{"item_id": "78", "title": "a"}, {"item_id": "79", "title": "poison"}])
    models.add(artefacts[1])
    models.activate("m1")
    models.refresh()
    assert models.choose().name == "m1"
    assert knows(models.choose(), 78)
    assert not knows(models.choose(), 79)


def test_a_model_that_cannot_grow_goes_on_as_it_is(models, shelf, artefacts, monkeypatch):
    from segue.errors import ItemsNotTaken

    def grow(self, growth):
        raise ItemsNotTaken(owner="Popular")

    monkeypatch.setattr("segue.recommenders.popular.Popular._grow", grow)
    shelf.put_items([{"item_id": "79"}])
    models.refresh()
    assert best(models.choose()) == 0
    assert not knows(models.choose(), 79)


def test_subscribers_hear_of_a_model_before_it_serves_and_when_it_has_left(models, shelf, artefacts):
    heard = []

    def loaded(served):
        heard.append((served.name, models.choose().name, knows(served, 77)))
        raise ZeroDivisionError  # what is learnt beside a model keeps it from nobody

    models.subscribe(loaded, heard.append)
    shelf.put_items([{"item_id": "77"}])
    models.add(artefacts[1])
    models.activate("m1")
    models.refresh()
    assert heard == [("m1", "m0", False), "m0"]
    assert models.choose().name == "m1"
    assert knows(models.choose(), 77)


# -- beside the requests -----------------------------------------------------------------------------------------


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_a_thread_follows_the_store_within_a_second_and_outlives_its_absence(models, shelf, artefacts, caplog):
    caplog.set_level(logging.INFO)
    models.start()
    try:
        newest, looks = shelf.newest, []

        def away():
            looks.append(1)
            return 1 / 0

        shelf.newest = away
        models.wake()
        until(lambda: len(looks) >= 3)
        shelf.newest = newest
        shelf.put_items([{"item_id": "80", "title": "New"}])
        began = time.monotonic()
        until(lambda: knows(models.choose(), 80))
        models.add(artefacts[1])
        models.activate("m1")
        until(lambda: models.choose().name == "m1")
        assert time.monotonic() - began < 2.0  # two changes
        said = [record.getMessage() for record in caplog.records if "followed" in record.getMessage()]
        assert said == ["models: the store could not be followed", "models: the store is followed again"]
    finally:
        models.stop()


SLOW_S = 0.4


class InRequestPath(Models):
    """The broken twin: whoever asks first after a change loads the new model."""

    def choose(self, user_id=None):
        self.refresh()
        return super().choose(user_id)

    def start(self):
        pass


def swapped_under_load(kind, shelf, artefacts, rate, seconds):
    """Names answered and the longest answer while models are activated one after the other under load."""

    def load(row):
        time.sleep(SLOW_S)  # a large artefact
        return Served.load(row)

    models = kind.open(shelf, artefacts[0], load=load)
    for number in (1, 2):
        models.add(artefacts[number])
    answers, failures = [], []
    models.start()
    began = time.monotonic()

    def client(number, clients=4):
        for place in range(number, int(rate * seconds), clients):
            due = began + place / rate  # an open loop: who is late does not slow the others
            time.sleep(max(0.0, due - time.monotonic()))
            asked = time.monotonic()
            try:
                served = models.choose(f"u{place}")
                answers.append((served.name, best(served), time.monotonic() - asked, asked))
            except Exception as error:  # noqa: BLE001 - whatever it is, a request failed
                failures.append(error)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for each in clients:
        each.start()
    for name in ("m1", "m2"):
        time.sleep(seconds / 4)
        models.activate(name)
    for each in clients:
        each.join()
    models.stop()
    return answers, failures


def judged(answers, failures, rate, seconds):
    assert not failures
    assert len(answers) == int(rate * seconds)
    assert all(name == f"m{item}" for name, item, _, _ in answers)  # each was given by the model that it names
    in_order = [name for name, _, _, _ in sorted(answers, key=lambda each: each[3])]
    assert set(in_order) == {"m0", "m1", "m2"}
    assert max(took for _, _, took, _ in answers) < SLOW_S / 2


@pytest.mark.parametrize("rate", [20, 100])
def test_a_swap_under_load_fails_no_request_and_lets_none_wait(shelf, artefacts, rate):
    judged(*swapped_under_load(Models, shelf, artefacts, rate, 2.0), rate, 2.0)


def test_loading_in_the_path_of_requests_would_let_them_wait(shelf, artefacts):
    with pytest.raises(AssertionError):
        judged(*swapped_under_load(InRequestPath, shelf, artefacts, 20, 2.0), 20, 2.0)


def test_a_swap_is_one_step_for_whoever_reads(models, artefacts):
    """Names and shares always belong together, whatever is exchanged meanwhile."""
    models.add(artefacts[1])
    models.refresh()
    ended, seen = threading.Event(), set()

    def read():
        while not ended.is_set():
            serving = models._serving
            assert len(serving.active) == len(serving.shares) == len(serving.arms)
            seen.add(tuple(served.name for served in serving.active))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        models.activate("m1")
        models.refresh()
        models.set_role("m0", "active")
        models.refresh()
        models.activate("m0")
        models.refresh()
    ended.set()
    reader.join()
    assert seen <= {("m0",), ("m1",), ("m0", "m1")}


def test_served_is_not_changed_by_items(models):
    served = models.choose()
    more = served.with_items([(5, {"item_id": "90", "title": "x"})])
    assert (more.items_to, served.items_to) == (5, 0)
    assert replace(more, items_to=0).name == served.name
    assert served.with_items([]) is served
