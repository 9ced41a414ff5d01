"""The page of metrics: bounded labels, numbers asked at the scrape, both formats."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from segue.serving.watching.metrics import OTHER, Labels, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and label values, in the order of the labels' names."""
    page = metrics.scrape()[0].decode()
    found = (sample for family in read_text(page) for sample in family.samples)
    return {(sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value for sample in found}


def test_two_applications_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.error("V001")
    assert samples(one)["segue_errors_total", ("V001",)] == 1
    assert ("segue_errors_total", ("V001",)) not in samples(other)


def test_what_happened_is_counted() -> None:
    metrics = Metrics()
    metrics.stored(3, 1)
    metrics.stored(2, 0)
    metrics.unknown_items(4)
    metrics.answered("shop", "recommend", 0.01)
    now = samples(metrics)
    assert now["segue_events_total", ("stored",)] == 5
    assert now["segue_events_total", ("known",)] == 1
    assert now["segue_events_unknown_item_total", ()] == 4
    assert now["segue_answer_seconds_count", ("recommend", "shop")] == 1


def test_a_number_of_another_part_is_asked_at_each_scrape() -> None:
    metrics, queue = Metrics(), [3.0]
    metrics.gauge("segue_queue_length", "Waiting.", lambda: queue[0])
    metrics.total("segue_seen", "Seen.", lambda: {("a",): 2.0}, ["model"])
    assert samples(metrics)["segue_queue_length", ()] == 3
    queue[0] = 5
    assert samples(metrics)["segue_queue_length", ()] == 5
    assert samples(metrics)["segue_seen_total", ("a",)] == 2


def test_a_number_that_fails_is_left_out_logged_once_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    metrics, broken = Metrics(), [True]

    def ask() -> float:
        if broken[0]:
            raise RuntimeError("no such part")
        return 1.0

    metrics.gauge("segue_part", "A part.", ask)
    metrics.gauge("segue_nothing", "Nothing to tell.", lambda: None)
    for _ in range(3):
        now = samples(metrics)
        assert ("segue_part", ()) not in now
        assert ("segue_requests_in_flight", ()) in now
    assert [record.getMessage() for record in caplog.records] == ["segue_part could not be read"]
    broken[0] = False
    assert samples(metrics)["segue_part", ()] == 1


def test_labels_are_bounded() -> None:
    metrics = Metrics(models=3)
    for number in range(1000):
        metrics.answered(f"m{number}", "recommend", 0.01)
        metrics.error(f"code {number}")
    now = samples(metrics)
    assert now["segue_answer_seconds_count", ("recommend", OTHER)] == 997
    assert sum(name == "segue_errors_total" for name, _ in now) == 257
    label = Labels(1)
    assert [label("a"), label("b"), label("a")] == ["a", OTHER, "a"]


def test_process_memory_and_start_are_told() -> None:
    now = samples(Metrics())
    assert now["process_resident_memory_bytes", ()] > 1e6
    assert now["process_start_time_seconds", ()] > 1e9


def test_both_formats_are_read_by_their_parsers() -> None:
    metrics = Metrics()
    metrics.answered('a "quoted"\nmodel\\', "recommend", 0.01)
    page, kind = metrics.scrape("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
    assert {family.name for family in read_openmetrics(page.decode())} >= {"segue_answer_seconds", "segue_events"}
    page, kind = metrics.scrape()
    assert kind.startswith("text/plain")
    labels = [s.labels for f in read_text(page.decode()) for s in f.samples if s.name == "segue_answer_seconds_count"]
    assert labels == [{"model": 'a "quoted"\nmodel\\', "kind": "recommend"}]
