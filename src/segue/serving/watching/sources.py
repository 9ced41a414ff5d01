"""Which number of which part is on the page of metrics under which name; asked only when somebody reads the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segue.serving.guard import connections

if TYPE_CHECKING:
    from segue.serving.watching.watch import Watch


def connect(watch: Watch, service: Any) -> None:
    """Tell the metrics of a watch where the numbers of a service are; parts that it lacks are left out."""
    metrics, rates, drift = watch.metrics, watch.rates, watch.drift
    metrics.total("segue_online_impressions", "Items shown, by model.", lambda: rates.totals("impressions"), ["model"])
    metrics.total("segue_online_clicks", "Items clicked, by model.", lambda: rates.totals("clicks"), ["model"])
    metrics.total(
        "segue_online_conversions", "Items converted, by model.", lambda: rates.totals("conversions"), ["model"]
    )
    metrics.total("segue_feedback_unknown", "Events whose recommendation is not known.", lambda: rates.unknown)
    metrics.gauge(
        "segue_score",
        "Best score of a list, by model, window (reference, recent) and statistic.",
        drift.scores,
        ["model", "window", "statistic"],
    )
    metrics.gauge("segue_score_psi", "Stability index of the best scores, by model.", drift.score_psi, ["model"])
    metrics.gauge(
        "segue_popularity_psi",
        "Stability index of item popularity against training, by model, of events or recommended items.",
        drift.popularity_psi,
        ["model", "of"],
    )
    metrics.gauge(
        "segue_cold_items_share",
        "Share of items not met in training, by model, of events or recommended items.",
        drift.cold_items,
        ["model", "of"],
    )
    metrics.gauge(
        "segue_cold_users_share",
        "Share of users not met in training, by model, of events or answers.",
        drift.cold_users,
        ["model", "of"],
    )
    metrics.gauge("segue_alert", "1 while the alert is on.", watch.alerts.states, ["alert"])
    metrics.total("segue_lost", "Given up because a part was behind or away.", lambda: _lost(service), ["what"])
    metrics.total(
        "segue_protocol_refused",
        "Connections and heads refused before the application saw them, by status.",
        lambda: {(str(status),): float(count) for status, count in sorted(connections.refused.items())},
        ["status"],
    )
    if service.gate is not None:
        gate = service.gate
        metrics.gauge("segue_queue_length", "Questions that wait.", lambda: gate.stats().waiting)
        metrics.gauge("segue_queue_capacity", "Questions that may wait.", lambda: gate.queue)
        metrics.gauge("segue_questions_running", "Questions being computed.", lambda: gate.stats().running)
        metrics.gauge("segue_abandoned_threads", "Threads nobody waits for.", lambda: gate.stats().lost)
    if service.store is not None:
        metrics.gauge("segue_store_available", "1 while the store answers.", lambda: float(watch.store_available()))
        metrics.gauge("segue_follower_lag_events", "Events not yet told to this process.", lambda: watch.behind)
        metrics.gauge("segue_follower_lag_seconds", "Seconds since all had been told.", watch.lag_seconds)
        metrics.gauge("segue_disk_free_share", "Free share of the disk of an embedded store.", watch.disk_free)
    if service.models is not None:
        metrics.gauge(
            "segue_model_age_seconds",
            "Seconds since the model was registered.",
            lambda: {(name,): age for name, age in watch.model_ages().items()},
            ["model"],
        )
    if (online := getattr(service, "online", None)) is not None:
        metrics.gauge(
            "segue_online_event",
            "Newest event that online mode has read for a model; beside segue_follower_event it shows a replay.",
            lambda: {(name,): float(seq) for name, seq in online.progress().items()},
            ["model"],
        )
        metrics.gauge(
            "segue_online_level",
            "1 where online mode is level with the store, 0 while it replays what came since the training.",
            lambda: {(name,): float(level) for name, level in online.level().items()},
            ["model"],
        )
        if service.follower is not None:
            metrics.gauge(
                "segue_follower_event", "Newest event of the store.", lambda: float(service.follower.seen["events"])
            )
    if (shadows := getattr(service.answers, "shadows", None)) is not None:

        def compared(of: str) -> dict[tuple[str, ...], float]:
            return {(name,): float(getattr(counts, of)) for name, counts in list(shadows.compared.items())}

        metrics.total("segue_shadow_answers", "Answers of a shadow.", lambda: compared("asked"), ["model"])
        metrics.total("segue_shadow_failed", "Answers a shadow owed.", lambda: compared("failed"), ["model"])
        metrics.total(
            "segue_shadow_overlap",
            "Sum over answers of the share it has in common.",
            lambda: compared("overlap"),
            ["model"],
        )


def _lost(service: Any) -> dict[tuple[str, ...], float]:
    """Lists that were served and are not in the log, and questions that no shadow was asked."""
    answers = service.answers
    lists = getattr(service.writer, "lost_lists", 0) + getattr(getattr(answers, "journal", None), "lost", 0)
    return {("lists",): lists, ("shadow_questions",): getattr(getattr(answers, "shadows", None), "dropped", 0)}
