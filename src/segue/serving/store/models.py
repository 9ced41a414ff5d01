"""The list of models that may serve, changed as a whole: read, decided and written in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace

from sqlalchemy import Connection, delete, insert, select

from segue.serving.store import marks
from segue.serving.store.rows import ModelRow
from segue.serving.store.tables import models

Change = Callable[[list[ModelRow]], Sequence[ModelRow]]
_ROW = [models.c[each.name] for each in fields(ModelRow)]


def read(connection: Connection) -> list[ModelRow]:
    """All rows, oldest first."""
    query = select(*_ROW).order_by(models.c.created, models.c.name)
    return [ModelRow(*row) for row in connection.execute(query)]


def write(connection: Connection, change: Change) -> list[ModelRow]:
    """Replace the rows by what ``change`` makes of them; rows it changes take the new generation."""
    generation = marks.take(connection, "models", 1) + 1
    before = {row.name: row for row in read(connection)}
    wanted = [
        row if before.get(row.name) == row else replace(row, generation=generation)
        for row in change(list(before.values()))
    ]
    connection.execute(delete(models))
    if wanted:
        connection.execute(insert(models), [asdict(row) for row in wanted])
    return read(connection)
