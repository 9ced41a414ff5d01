"""All settings of the service: groups, each kept beside the code that reads it, from one TOML file and ``--set``.

What was learnt is in the artefact; these say how the service runs today. A new room adds one line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from segue.config import Config, parse_assignments, read_toml
from segue.errors import ConfigSet
from segue.serving.watching.alerts import AlertsConfig
from segue.serving.watching.drift import DriftConfig
from segue.serving.watching.rates import FeedbackConfig


class ServiceSettings(Config):
    """Groups of settings; a TOML file has a table for each."""

    feedback: FeedbackConfig = FeedbackConfig()
    drift: DriftConfig = DriftConfig()
    alerts: AlertsConfig = AlertsConfig()

    @classmethod
    def read(cls, path: str | Path | None = None, assignments: Iterable[str] = ()) -> Self:
        """From a TOML file, and over it ``group.name=value`` texts.

        Raises:
            ConfigFile: the file cannot be read.
            ConfigSet: a text is not ``group.name=value``.
            ConfigUnknown, ConfigValue: see ``Config.parse``.
        """
        groups: dict[str, Any] = {} if path is None else read_toml(path)
        for dotted, value in parse_assignments(assignments).items():
            group, dot, name = dotted.partition(".")
            if not dot:
                raise ConfigSet(text=f"{dotted}={value}", form="group.name=value", example="--set gate.capacity=2")
            groups[group] = {**groups.get(group, {}), name: value}
        return cls.grouped(groups)

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
