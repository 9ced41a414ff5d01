"""All settings of the service: groups, each kept beside the code that reads it, from one TOML file and ``--set``.

What was learnt is in the artefact; these say how the service runs today. A new room adds one line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from segue.config import Config, merged, parse_assignments, read_toml
from segue.errors import ConfigSet, ConfigValue
from segue.serving.answers.exploration import ExploreConfig
from segue.serving.answers.settings import AnswersConfig, LimitsConfig
from segue.serving.guard.connections import ConnectionsConfig
from segue.serving.guard.gate import GateConfig
from segue.serving.guard.limits import BodyConfig
from segue.serving.guard.logs import LogsConfig
from segue.serving.learning.online import OnlineConfig
from segue.serving.learning.schedule import ScheduleConfig
from segue.serving.models.models import ModelsConfig
from segue.serving.page.settings import PageConfig
from segue.serving.state import StateConfig
from segue.serving.store.settings import StoreConfig
from segue.serving.watching.alerts import AlertsConfig
from segue.serving.watching.drift import DriftConfig
from segue.serving.watching.rates import FeedbackConfig


class ServiceConfig(Config):
    """Groups of settings; a TOML file has a table for each."""

    store: StoreConfig = StoreConfig()
    """Where events are kept, and how long anyone waits for it."""
    state: StateConfig = StateConfig()
    """What of a person's past is read."""
    models: ModelsConfig = ModelsConfig()
    """Who is asked of which model, and how soon a change is seen."""
    answers: AnswersConfig = AnswersConfig()
    """How lists are made."""
    explore: ExploreConfig = ExploreConfig()
    """Places given to items of which little is known."""
    limits: LimitsConfig = LimitsConfig()
    """How much a question may ask for."""
    body: BodyConfig = BodyConfig()
    """How large a body may be."""
    gate: GateConfig = GateConfig()
    """How much is answered at once, and until when."""
    connections: ConnectionsConfig = ConnectionsConfig()
    """How many clients, and how slow they may be."""
    logs: LogsConfig = LogsConfig()
    """What the log says of people."""
    online: OnlineConfig = OnlineConfig()
    """What is learnt between updates."""
    schedule: ScheduleConfig = ScheduleConfig()
    """When models are updated."""
    feedback: FeedbackConfig = FeedbackConfig()
    """Which actions are impressions, clicks and conversions."""
    drift: DriftConfig = DriftConfig()
    """What is held against what, to see a change."""
    alerts: AlertsConfig = AlertsConfig()
    """Limits that raise an alert, and who is told."""
    page: PageConfig = PageConfig()
    """Whether there is a web page."""

    @model_validator(mode="after")
    def _one_word_for_what_was_shown(self) -> Self:
        if "impressions" in self.online.feedback.model_fields_set:
            raise ConfigValue(
                name="online.feedback.impressions",
                owner="the service",
                value=self.online.feedback.impressions,
                reason="what an impression is called is said once, by feedback.impression",
            )
        return self

    @classmethod
    def read(cls, path: str | Path | None = None, assignments: Iterable[str] = ()) -> Self:
        """From a TOML file, and over it ``group.name=value`` texts.

        Raises:
            ConfigFile: the file cannot be read.
            ConfigSet: a text is not ``group.name=value``.
            ConfigUnknown, ConfigValue: see ``Config.parse``.
        """
        groups: dict[str, Any] = {} if path is None else read_toml(path)
        over = parse_assignments(assignments)
        for group, values in over.items():
            if not isinstance(values, dict):
                raise ConfigSet(text=f"{group}={values}", form="group.name=value", example="--set gate.capacity=2")
        return cls.grouped(merged(groups, over))

    @classmethod
    def grouped(cls, groups: Mapping[str, Any]) -> Self:
        """From a mapping of groups; an error names the group and the setting in it."""
        read: dict[str, Any] = {}
        for name, values in groups.items():
            field = cls.model_fields.get(name)
            kind = None if field is None else field.annotation
            nested = isinstance(kind, type) and issubclass(kind, Config) and isinstance(values, Mapping)
            read[name] = kind.parse(values, owner=name) if nested else values  # type: ignore[union-attr]
        return cls.parse(read, owner="the service")
