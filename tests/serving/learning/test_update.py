"""The update cycle over a real store: learnt since, judged, saved beside, registered and activated in one step."""

from __future__ import annotations

import json
import time

import polars as pl
import pytest

import segue
from segue.errors import UpdateRunning
from segue.serving.learning.update import UpdatingConfig, newest_of_line, next_version, update
from segue.serving.models.lease import Lease
from segue.serving.models.models import Models
from segue.serving.models.registry import Registry, root_of
from segue.serving.store import Event, Store
from tests.cli.test_verbs import refused
from tests.cli.test_verbs import segue as command
from tests.evaluation.rings import misleading, ring

FEW = UpdatingConfig(users=20)


def recorded(events: pl.DataFrame, action: str | None = None) -> list[Event]:
    return [
        Event(f"{user}-{item}-{stamp}-{action}", user, item, stamp * 1_000_000, action)
        for user, item, stamp in events.select("user_id", "item_id", "timestamp").iter_rows()
    ]


@pytest.fixture(scope="module")
def parts():
    log = ring()
    cuts = [int(log.height * share) for share in (0.6, 0.8)]
    return log.head(cuts[0]), log.slice(cuts[0], cuts[1] - cuts[0]), log.tail(log.height - cuts[1])


@pytest.fixture(scope="module")
def trained(parts, catalogue, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    segue.FirstOrder().fit(segue.Dataset.from_frames(parts[0], catalogue)).save(folder / "shop")
    return folder / "shop"


@pytest.fixture
def shop(trained, tmp_path):
    segue.load(trained).save(tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'shop.db'}")
    yield opened
    opened.close()


def names(store):
    return {row.name: row.role for row in Registry(store).rows()}


def test_what_a_service_recorded_is_learnt_and_answers_from_then_on(store, shop, parts):
    models = Models.open(store, shop)
    store.append(recorded(parts[1]))
    outcome = update(store, shop, FEW)
    assert (outcome.state, outcome.name, outcome.before) == ("activated", "shop-0002", "shop")
    assert outcome.learnt["events"] == parts[1].height
    assert names(store) == {"shop": "waiting", "shop-0002": "active"}
    row = Registry(store).row("shop-0002")
    assert row.learnt_to_seq == store.last_seq()
    assert row.document["update"]["verdicts"]["ndcg@10"]["new"] > 0
    assert row.path == str(shop.with_name("shop.versions") / "shop-0002")
    models.refresh()
    assert models.choose("u1").name == "shop-0002"
    assert models.choose("u1").recommender.histories.lengths.sum() == parts[0].height + parts[1].height
    assert models.roll_back() == ["shop"]


def test_the_next_update_reads_only_what_came_since(store, shop, parts):
    Models.open(store, shop)
    store.append(recorded(parts[1]))
    update(store, shop, FEW)
    store.append(recorded(parts[2]))
    outcome = update(store, shop, FEW)
    assert (outcome.name, outcome.before) == ("shop-0003", "shop-0002")
    assert (outcome.learnt["events"], outcome.learnt["known"]) == (parts[2].height, 0)
    nothing = update(store, shop, FEW)
    assert (nothing.state, nothing.name, nothing.why) == ("nothing", None, "0 new events, and at least 1 are wanted")


def test_a_worse_model_is_kept_out_and_nothing_is_written(store, shop, parts):
    Models.open(store, shop)
    store.append(recorded(misleading()))
    store.append(recorded(parts[1]))
    share = 0.3 * parts[1].height / store.last_seq()
    outcome = update(store, shop, UpdatingConfig(users=20, share=share))
    assert outcome.state == "kept"
    assert "worse" in outcome.why
    assert names(store) == {"shop": "active"}
    assert not shop.with_name("shop.versions").exists()
    forced = update(store, shop, UpdatingConfig(users=20, share=share), always=True)
    assert forced.state == "activated"


def test_what_was_shown_is_not_what_somebody_did(store, shop, parts):
    Models.open(store, shop)
    store.append(recorded(parts[1], "impression"))
    assert update(store, shop, FEW).state == "nothing"


def test_what_says_that_something_was_shown_may_have_another_name(store, shop, parts, tmp_path):
    Models.open(store, shop)
    store.append(recorded(parts[1], "seen"))
    assert update(store, shop, UpdatingConfig(users=20, impression=("seen",))).state == "nothing"
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    done = command("update", shop, "--store", url, "--impression", "shown", "--impression", "seen", "-q")
    assert "Nothing to learn" in done.stdout
    assert update(store, shop, FEW).state == "activated"  # with the usual name they are what somebody did


def test_fewer_events_than_wanted_are_left_for_later(store, shop, parts):
    Models.open(store, shop)
    store.append(recorded(parts[1].head(10)))
    outcome = update(store, shop, UpdatingConfig(users=20, min_events=11))
    assert (outcome.state, outcome.why) == ("nothing", "10 new events, and at least 11 are wanted")
    few = update(store, shop, UpdatingConfig(users=20))
    assert (few.state, few.learnt["verdicts"]) == ("kept", {})


def test_items_put_in_the_store_are_in_the_new_model(store, shop, parts):
    Models.open(store, shop)
    store.put_items([{"item_id": "i99", "title": "Brought later"}])
    store.append(recorded(parts[1]))
    outcome = update(store, shop, FEW)
    assert segue.load(Registry(store).row(outcome.name).path).titles["i99"] == "Brought later"


def test_old_versions_are_dropped_with_their_artefacts_and_never_one_in_use(store, shop, parts):
    Models.open(store, shop)
    settings = UpdatingConfig(users=20, keep=2)
    log = parts[1]
    for number in range(4):
        store.append(recorded(log.slice(number * 50, 50)))
        outcome = update(store, shop, settings, always=True)
    assert names(store) == {"shop": "waiting", "shop-0004": "waiting", "shop-0005": "active"}
    assert outcome.dropped == ("shop-0003",)
    assert sorted(path.name for path in shop.with_name("shop.versions").iterdir()) == ["shop-0004", "shop-0005"]
    assert shop.is_dir()
    assert Registry(store).roll_back() == ["shop-0004"]


def test_one_arm_of_an_a_b_test_is_updated_and_the_other_stays(store, shop, trained, parts, tmp_path):
    segue.load(trained).save(tmp_path / "other")
    models = Models.open(store, shop)
    models.add(tmp_path / "other", role="active", weight=3.0)
    store.append(recorded(parts[1]))
    update(store, tmp_path / "other", FEW)
    rows = {row.name: (row.role, row.weight) for row in Registry(store).rows()}
    assert rows["shop"] == ("active", 1.0)
    assert rows["other-0002"] == ("active", 3.0)
    assert rows["other"][0] == "waiting"


def test_a_shadow_is_followed_by_a_shadow_and_a_waiting_line_waits(store, shop, trained, parts, tmp_path):
    models = Models.open(store, shop)
    for name, role in (("dark", "shadow"), ("spare", "waiting")):
        segue.load(trained).save(tmp_path / name)
        models.add(tmp_path / name, role=role)
    store.append(recorded(parts[1]))
    states = [update(store, tmp_path / name, FEW).state for name in ("dark", "spare")]
    assert states == ["registered", "registered"]
    found = names(store)
    assert (found["dark"], found["dark-0002"]) == ("waiting", "shadow")
    assert (found["spare"], found["spare-0002"], found["shop"]) == ("waiting", "waiting", "active")


def test_where_nothing_is_registered_yet_the_first_update_registers_both(store, shop, parts):
    store.append(recorded(parts[1]))
    assert update(store, shop, FEW).state == "activated"
    assert names(store) == {"shop": "waiting", "shop-0002": "active"}


def test_a_line_that_answers_by_an_export_goes_on_from_what_was_trained_and_exports_again(store, shop, parts):
    segue.load(shop).save(shop.with_name("shop-onnx"))  # stands for an export: it lies beside, and is named so
    Models.open(store, shop.with_name("shop-onnx"))
    assert Registry(store).row("shop-onnx").source == str(shop)
    store.append(recorded(parts[1]))
    made = []

    def export(trained, out, like):
        made.append((trained.name, out.name, like.name))
        segue.load(trained).save(out)

    outcome = update(store, shop, FEW, export=export)
    assert made == [("shop-0002", "shop-0002-onnx", "shop-onnx")]
    row = Registry(store).row(outcome.name)
    assert (row.path[-14:], row.source[-9:], root_of(row)) == ("shop-0002-onnx", "shop-0002", str(shop))
    again = Models.open(store, shop.with_name("shop-onnx"))
    assert again.choose().name == "shop-0002"


def test_an_export_that_fails_leaves_the_models_as_they_were(store, shop, parts):
    segue.load(shop).save(shop.with_name("shop-onnx"))
    Models.open(store, shop.with_name("shop-onnx"))
    store.append(recorded(parts[1]))

    def export(trained, out, like):
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        update(store, shop, FEW, export=export)
    assert names(store) == {"shop-onnx": "active"}
    assert not Lease(store).busy()
    left = shop.with_name("shop.versions") / "shop-0002"
    (left.parent / "mine").mkdir()
    assert left.is_dir()
    assert next_version(Registry(store).rows(), shop) == (2, left.parent)
    assert [path.name for path in left.parent.iterdir()] == ["mine"]  # what it left is gone, and nothing else is


# -- one at a time -----------------------------------------------------------------------------------------------


def test_of_two_updates_at_once_one_is_refused(store, shop, parts):
    with (
        Lease(store, holder="another replica").held(),
        pytest.raises(UpdateRunning, match="another replica"),
    ):
        update(store, shop, FEW)


def test_a_lease_that_is_not_renewed_ends_by_itself_and_its_holder_can_register_nothing(store, shop, parts):
    Models.open(store, shop)
    store.append(recorded(parts[1]))
    dead = Lease(store, seconds=0.2, holder="dead")

    def slow(*arguments, **options):
        from segue.evaluation.refresh import learn

        dead._keep = None  # its process stalls: nothing is renewed
        time.sleep(0.3)
        assert update(store, shop, FEW).state == "activated"
        return learn(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lease, "_keep", lambda self, ended: None)
        with pytest.raises(UpdateRunning):
            update(store, shop, FEW, lease=dead, learn=slow)
    assert names(store) == {"shop": "waiting", "shop-0002": "active"}


def test_a_lease_is_renewed_while_its_holder_lives(store):
    with Lease(store, seconds=0.4).held():
        time.sleep(0.8)
        assert Lease(store).busy()
    assert not Lease(store).busy()


def test_the_lease_is_no_model(store, shop, parts):
    models = Models.open(store, shop)
    with Lease(store).held():
        assert [info.row.name for info in models.all()] == ["shop"]
        models.set_role("shop", "active", 2.0)
        assert Lease(store).busy()


def test_what_came_of_the_last_update_is_told_to_every_replica(store, shop, parts):
    Models.open(store, shop)
    store.append(recorded(parts[1]))
    update(store, shop, FEW)
    last = Lease(store).state()["last"]
    assert (last["state"], last["name"], last["seq"]) == ("activated", "shop-0002", store.last_seq())
    assert abs(last["finished"] / 1e6 - time.time()) < 60


def test_the_one_that_answers_is_learnt_on_from_also_after_a_roll_back(store, shop, parts):
    Models.open(store, shop)
    store.append(recorded(parts[1]))
    update(store, shop, FEW)
    registry = Registry(store)
    registry.roll_back()
    assert newest_of_line(registry.rows(), shop).name == "shop"
    outcome = update(store, shop, FEW)
    assert (outcome.name, outcome.before, outcome.learnt["events"]) == ("shop-0003", "shop", parts[1].height)


# -- erasure -----------------------------------------------------------------------------------------------------


def knows(path, user):
    return user in segue.load(path).user_vocabulary.ids


def test_an_erased_person_is_forgotten_on_disk_and_in_memory_on_every_replica(store, shop, parts):
    models, replica = Models.open(store, shop), Models.open(store)
    store.append(recorded(parts[1]))
    update(store, shop, FEW)
    assert erased(models, "u1") == 2
    replica.refresh()
    for served in (models.choose("u2"), replica.choose("u2")):
        assert served.name == "shop-0002"
        assert "u1" not in served.recommender.user_vocabulary.ids
    assert not any(knows(row.path, "u1") for row in Registry(store).rows())
    assert erased(models, "u1") == 0


@pytest.mark.parametrize("late", [False, True])
def test_who_is_erased_while_an_update_is_at_work_is_not_in_what_it_makes(store, shop, parts, late):
    models = Models.open(store, shop)
    store.append(recorded(parts[1]))
    from segue.evaluation.refresh import learn

    def learnt(*arguments, **options):
        result = learn(*arguments, **options)
        if not late:
            models.forget("u1")
        return result

    class Late(Lease):
        def erased(self):
            found = super().erased()
            if late and not found:
                models.forget("u1")  # after the list was read, before the model is registered
            return found

    outcome = update(store, shop, FEW, learn=learnt, lease=Late(store))
    assert outcome.state == "activated"
    assert not any(knows(row.path, "u1") for row in Registry(store).rows())
    assert "u1" not in str(Lease(store).state())  # and the list of them is gone


def test_who_is_erased_as_an_update_begins_is_not_in_what_it_makes(store, shop, parts, monkeypatch):
    """The update reads the artefact before it is rewritten, and begins after the erasure found none at work."""
    models = Models.open(store, shop)
    store.append(recorded(parts[1]))
    noted, began = Lease.note_erased, []

    def then_an_update(lease, user):
        noted(lease, user)
        if not began:
            began.append(update(store, shop, FEW))

    monkeypatch.setattr(Lease, "note_erased", then_an_update)
    assert erased(models, "u1") == 2
    assert began[0].state == "activated"
    assert not any(knows(row.path, "u1") for row in Registry(store).rows())


def test_a_lease_whose_holder_died_names_nobody(store):
    with Lease(store, holder="dead").held() as lease:
        lease.note_erased("person-7f3a91")
        assert len(lease.erased()) == 1
        assert "person-7f3a91" not in str(lease.state())
        assert lease.names(lease.erased())("person-7f3a91")
        assert not lease.names(lease.erased())("another")


# -- by command --------------------------------------------------------------------------------------------------


def test_update_models_and_rollback_by_command(store, shop, parts, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    Models.open(store, shop)
    store.append(recorded(parts[1]))
    done = command("update", shop, "--store", url, "--users", 20, "--json", tmp_path / "out.json", "-q")
    assert done.returncode == 0, done.stderr
    for words in (
        f"{parts[1].height} new events",
        "fitted again on the joined log",
        "ndcg@10",
        "shop-0002 answers in place of shop",
    ):
        assert words in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["state"] == "activated"
    monkeypatch.setenv("SEGUE_STORE", url)
    listed = command("models").stdout
    for words in ("shop-0002", "active", "waiting", str(store.last_seq())):
        assert words in listed
    assert "shop answers again" in command("rollback").stdout
    refused(command("rollback"), "V063", "none answered before")
    again = command("update", shop, "--users", 1000, "-q")
    assert again.returncode == 0
    assert "shop goes on: fewer than 1000 people" in again.stdout
    assert "Nothing to learn" in command("update", shop, "--min-events", 10**6).stdout


def test_a_model_is_added_by_command_for_an_a_b_test_or_in_the_shadow(store, shop, trained, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    models = Models.open(store, shop)
    for name in ("b", "dark"):
        segue.load(trained).save(tmp_path / name)
    added = command("models", "add", tmp_path / "b", "--store", url, "--role", "active", "--weight", 0.25)
    assert added.returncode == 0, added.stderr
    assert "0.25" in added.stdout
    monkeypatch.setenv("SEGUE_STORE", url)
    assert command("models", "add", tmp_path / "dark", "--role", "shadow", "--name", "trial").returncode == 0
    for listing in (("models",), ("models", "list"), ("models", "--store", url), ("models", "list", "--store", url)):
        listed = command(*listing).stdout
        assert all(word in listed for word in ("shop", "b", "trial", "shadow"))
    models.refresh()
    assert [served.name for served in models.shadows()] == ["trial"]
    assert {models.choose(f"u{n}").name for n in range(100)} == {"shop", "b"}
    refused(command("models", "add", tmp_path / "none"), "A001", "none")
    refused(command("models", "add", tmp_path / "b", "--name", "trial"), "V061", "trial")
    monkeypatch.delenv("SEGUE_STORE")
    missing = command("models")
    assert (missing.returncode, "--store" in missing.stderr) == (2, True)


def test_a_command_that_does_not_say_what_to_learn_from_is_refused(shop, tmp_path, monkeypatch):
    monkeypatch.delenv("SEGUE_STORE", raising=False)
    refused(command("update", shop), "V067", "neither events nor --store")
    refused(command("update", shop, tmp_path / "e.csv"), "V067", "no --out")
    refused(command("update", shop, "--store", "sqlite:///x.db", "--out", tmp_path / "o"), "V067", "--out belongs")


def erased(models: Models, user_id: str) -> int:
    return sum(outcome.state == "erased" for outcome in models.forget(user_id))
