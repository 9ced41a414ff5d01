"""All settings of the service: groups, each kept beside the code that reads it, from one TOML file and ``--set``.

What was learnt is in the artefact; these say how the service runs today. A new room adds one line here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from segue.config import Config, merged, parse_assignments, read_toml
from segue.errors import ConfigSet, ConfigValue, nearest
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

_PREFIX = "SEGUE_"
_SHORT = {f"{_PREFIX}{name.upper()}": f"listen.{name}" for name in ("host", "port", "log_level")}
_ELSEWHERE = {f"{_PREFIX}{name}" for name in ("STORE", "CONFIG", "CACHE", "PROGRESS", "FAULTS", "TEXT", "OPEN")}
"""Variables that others read."""
_log = logging.getLogger("segue.serving")


class ListenConfig(Config):
    """Where the process listens, and how much it logs."""

    host: str = "127.0.0.1"
    """Address to listen on; others than loopback need a key."""
    port: int = Field(8000, ge=0, le=65_535)
    """Port to listen on; 0 for any free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Of lines about requests and the service; of other libraries warnings and errors are logged."""


class ServiceConfig(Config):
    """Groups of settings; a TOML file has a table for each."""

    listen: ListenConfig = ListenConfig()
    """Where the process listens, and how much it logs."""
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
    def read(
        cls,
        path: str | Path | None = None,
        assignments: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """From a TOML file, over it variables of the environment, and over them ``group.name=value`` texts.

        Args:
            path: of the file.
            assignments: the texts.
            environment: ``SEGUE_GATE_CAPACITY`` is ``gate.capacity``, and so on; ``SEGUE_HOST``, ``SEGUE_PORT`` and
                ``SEGUE_LOG_LEVEL`` are those of ``listen``. A variable that begins so and means nothing is named in
                the log, without its value. None: no variables are read.

        Raises:
            ConfigFile: the file cannot be read.
            ConfigSet: a text is not ``group.name=value``.
            ConfigUnknown, ConfigValue: see ``Config.parse``.
        """
        groups: dict[str, Any] = {} if path is None else read_toml(path)
        groups = _with_variables(groups, environment or {}, _variables(cls))
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


def _variables(config: type[Config], before: str = "") -> dict[str, str]:
    """Variables of the environment, and the dotted settings that they are."""
    found: dict[str, str] = {}
    for name, field in config.model_fields.items():
        dotted, kind = f"{before}{name}", field.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            found |= _variables(kind, f"{dotted}.")
        else:
            found[_PREFIX + dotted.replace(".", "_").upper()] = dotted
    return found if before else found | _SHORT


def _with_variables(
    groups: Mapping[str, Any], environment: Mapping[str, str], known: Mapping[str, str]
) -> dict[str, Any]:
    """Settings with the variables of the environment over them."""
    found = dict(groups)
    for name in sorted(each for each in environment if each.startswith(_PREFIX)):
        if name not in known:
            if name not in _ELSEWHERE and not name.startswith(f"{_PREFIX}TEST"):
                meant = nearest(name, [*known, *_ELSEWHERE])
                _log.warning("The variable %s means nothing to segue serve.%s", name[:80], meant)
            continue
        (value,) = parse_assignments([f"{name}={environment[name]}"]).values()
        *path, last = known[name].split(".")
        table = found
        for part in path:
            below = table.get(part)
            table[part] = table = dict(below) if isinstance(below, Mapping) else {}
        table[last] = value
    return found
