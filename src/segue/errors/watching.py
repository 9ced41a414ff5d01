"""Errors of watching: metrics, alerts and where they are sent."""

from __future__ import annotations

from segue.errors.serving import ServiceError


class WebhookRefused(ServiceError):
    code = "V080"
    template = "Alerts cannot be sent to the webhook at {host!r}: {why}."
    remedy = "Give an https address, or http to this machine; alerts.webhook_plain_http=true allows http elsewhere."
