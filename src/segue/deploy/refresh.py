"""Exporting a model again after an update, as its export was before: by the same settings and limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue import artefacts


def export_as(trained: Path, out: Path, like: Path) -> None:
    """Export a trained artefact as an earlier export was.

    Args:
        trained: the artefact of the update.
        out: the directory to write.
        like: the export of the model before; its precision, its search, its limits and whether it reads text are taken.

    Raises what ``deploy.export`` raises; nothing is written then.
    """
    from segue.deploy.export import ExportConfig, export

    export(trained, out, ExportConfig.parse(settings_of(artefacts.read(like))))


def settings_of(exported: artefacts.Reader) -> dict[str, Any]:
    """The settings that an export was made by; of an older one what can be told from the model."""
    report = exported.document("facts")["report"]
    kept: dict[str, Any] | None = report.get("export", {}).get("config")
    if kept is not None:
        return kept
    config = exported.manifest["config"]
    search = {name: config[name] for name in ("search", "candidates") if name in config}
    return {"precision": precision_of(config), **search}


def precision_of(config: Mapping[str, Any]) -> str:
    """``"int8"`` where an exported model, or a member of it, computes so; else ``"fp32"``."""
    members = [each.get("settings", {}) for each in config.get("members") or () if isinstance(each, Mapping)]
    return "int8" if config.get("precision") == "int8" or "int8" in map(precision_of, members) else "fp32"
