"""Updates by the clock and by what came in: one at a time, in a process, with its failures told and no secret shown."""

from __future__ import annotations

import importlib.util
import logging
import sys
import time

import pytest

import segue
from segue.serving.learning import schedule as schedule_module
from segue.serving.learning.schedule import FAILED, Schedule, ScheduleConfig
from segue.serving.learning.update import UpdatingConfig
from segue.serving.models.lease import Lease
from segue.serving.models.models import Models
from segue.serving.models.registry import Registry
from segue.serving.store import Event, Store
from tests.evaluation.rings import ring
from tests.serving.models.shelf import Alarms

SECRET = "s3cret-of-this-run"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def store(url):
    opened = Store.open(url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def parts():
    log = ring(60)
    cut = int(log.height * 0.7)
    return log.head(cut), log.tail(log.height - cut)


@pytest.fixture
def shop(store, parts, tmp_path):
    segue.FirstOrder().fit(segue.Dataset.from_frames(parts[0])).save(tmp_path / "shop")
    Models.open(store, tmp_path / "shop")
    return tmp_path / "shop"


def events(count, first=0):
    return [Event(f"e{n}", f"u{n}", "i1", 1_700_000_000_000_000 + n) for n in range(first, first + count)]


def script(text):
    """A command that runs some Python instead of an update."""
    return sys.executable, "-c", text


def scheduled(store, url, text, **config):
    settings = {"events": 1, "poll_seconds": 0.02, **config}
    return Schedule(store, url, ScheduleConfig(**settings), Alarms(), script(text))


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_without_hours_and_events_nothing_is_ever_due(store, url, shop):
    assert not ScheduleConfig().on
    schedule = Schedule(store, url, ScheduleConfig())
    store.append(events(5))
    assert not schedule.due()


def test_an_update_is_due_when_enough_has_come_since_the_last_one(store, url, shop):
    schedule = scheduled(store, url, "", events=5)
    store.append(events(4))
    assert not schedule.due()
    store.append(events(1, first=4))
    assert schedule.due()
    with Lease(store).held() as lease:
        assert not schedule.due()  # one is at work
        assert schedule.state().elsewhere
        lease.report({"state": "kept", "seq": 5})
    assert not schedule.due()
    store.append(events(5, first=5))
    assert (schedule.due(), schedule.state().waiting) == (True, 5)


def test_an_update_is_due_when_enough_time_has_passed_since_the_last_one(store, url, shop, monkeypatch):
    schedule = scheduled(store, url, "", events=None, hours=2)
    assert not schedule.due()
    now = time.time()
    assert abs(schedule.state().next.timestamp() - now - 7_200) < 60
    monkeypatch.setattr(schedule_module.time, "time", lambda: now + 7_201)
    assert schedule.due()
    Lease(store).report({"state": "nothing", "seq": 0})
    assert not schedule.due()


def test_a_real_update_is_run_and_its_model_answers(store, url, shop, parts, caplog):
    caplog.set_level(logging.INFO)
    stored = [
        Event(f"{user}{stamp}{item}", user, item, stamp * 1_000_000)
        for user, item, stamp in parts[1].select("user_id", "item_id", "timestamp").iter_rows()
    ]
    store.append(stored)
    alarms = Alarms()
    schedule = Schedule(store, url, ScheduleConfig(events=50, poll_seconds=0.05, users=20, tolerance=1.0), alarms)
    schedule.start()
    try:
        until(lambda: Registry(store).rows()[-1].name == "shop-0002", 60)
        until(lambda: schedule.state().running is None)
    finally:
        schedule.stop()
    assert Registry(store).row("shop-0002").role == "active"
    state = schedule.state()
    assert (state.last["state"], state.waiting, state.failed) == ("activated", 0, None)
    assert any("shop-0002 answers in place of shop" in line for line in state.tail)
    assert "update: " in caplog.text
    assert alarms.now == {FAILED: None}


def test_a_failure_is_told_and_not_tried_again_at_once(store, url, shop):
    store.append(events(3))
    text = "import sys; print('error A002: The artefact is damaged.'); print('Bring it back.'); sys.exit(2)"
    schedule = scheduled(store, url, text)
    schedule.start()
    until(lambda: schedule.state().failed)
    schedule.stop()
    assert schedule._alarm.raised == [FAILED]
    assert "exit code 2" in schedule.state().failed
    assert "error A002: The artefact is damaged." in schedule.state().failed
    assert not schedule.due()  # it is not tried again at once


def test_a_success_clears_the_alert(store, url, shop):
    schedule = scheduled(store, url, "import sys; sys.exit(1)")
    schedule._run(str(shop))
    assert schedule._alarm.now[FAILED] is not None
    schedule._command = script("print('done')")
    schedule._run(str(shop))
    assert schedule._alarm.now[FAILED] is None
    assert schedule.state().failed is None


def test_what_cannot_be_started_is_told(store, url, shop):
    schedule = scheduled(store, url, "")
    schedule._command = ("/no/such/command",)
    schedule._run(str(shop))
    assert "could not be started" in schedule._alarm.now[FAILED]


def test_another_update_at_work_is_no_failure(store, url, shop):
    schedule = scheduled(store, url, "import sys; print('error V066: Another update is at work'); sys.exit(2)")
    schedule._run(str(shop))
    assert schedule._alarm.raised == []
    assert not schedule.due()


def test_the_password_of_the_store_is_in_no_argument_and_in_no_log(store, shop, caplog):
    caplog.set_level(logging.DEBUG)
    url = f"postgresql+psycopg://shop:{SECRET}@localhost/shop"
    text = (
        "import os, sys; url = os.environ['SEGUE_STORE']; print('argv', sys.argv[1:]); print('store', url); "
        f"print('password', {SECRET!r} in url); sys.exit(3)"
    )
    schedule = scheduled(store, url, text, learning={"forgetting": "ewc"})
    schedule._run(str(shop))
    state = schedule.state()
    assert any(line.startswith("argv") and "forgetting=ewc" in line and str(shop) in line for line in state.tail)
    assert "password True" in state.tail  # it got there
    assert "***" in " ".join(state.tail)
    assert SECRET not in caplog.text + str(state) + str(schedule._alarm.now)


@pytest.mark.parametrize(("shown", "told"), [(("seen", "shown"), ["seen", "shown"]), ((), [""])])
def test_an_update_is_told_what_an_impression_is_called(store, url, shop, shown, told):
    print_them = "import sys; print([b for a, b in zip(sys.argv, sys.argv[1:]) if a == '--impression'])"
    schedule = Schedule(store, url, ScheduleConfig(events=1), Alarms(), script(print_them), shown)
    schedule._run(str(shop))
    assert schedule.state().tail[-1] == str(told)


def test_a_service_that_ends_ends_its_update(store, url, shop):
    store.append(events(3))
    schedule = scheduled(store, url, "import time; print('at work', flush=True); time.sleep(60)")
    schedule.start()
    until(lambda: "at work" in schedule.state().tail)
    assert schedule.state().running == str(shop)
    began = time.monotonic()
    schedule.stop()
    assert time.monotonic() - began < 5
    assert schedule._alarm.raised == []


def test_of_two_replicas_one_updates(store, url, shop, tmp_path):
    store.append(events(30))
    marks = tmp_path / "runs"
    text = (
        "import os, sys, time; from segue.serving.models.lease import Lease; from segue.serving.store import Store\n"
        "store = Store.open(os.environ['SEGUE_STORE'])\n"
        "with Lease(store).held() as lease:\n"
        f"    open({str(marks)!r}, 'a').write('x'); time.sleep(0.5)\n"
        "    lease.report({'state': 'kept', 'seq': store.last_seq()})\n"
    )
    both = [scheduled(store, url, text) for _ in range(2)]
    for each in both:
        each.start()
    until(lambda: (Lease(store).state().get("last") or {}).get("seq") == 30)
    time.sleep(0.3)
    for each in both:
        each.stop()
    # Both may have started a process in the same moment; the lease lets one work, and the other finds it at work.
    assert marks.read_text() in ("x", "xx")
    assert not both[0].due()


def test_where_torch_is_missing_that_is_said_at_the_start(store, url, shop, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))

    def needs_torch(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(schedule_module, "recommender_class", needs_torch)
    schedule = scheduled(store, url, "")
    schedule.start()
    schedule.stop()
    assert "shop (FirstOrder) learns with torch, which is not installed" in schedule._alarm.now[FAILED]


def test_the_settings_of_a_schedule_are_those_of_an_update():
    for name in ("keep", "users", "tolerance"):
        ours, theirs = ScheduleConfig.model_fields[name], UpdatingConfig.model_fields[name]
        assert ours.default == theirs.default
