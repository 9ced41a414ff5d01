"""A store as the first version wrote it, in plain SQL: never to be changed when the tables do."""

from __future__ import annotations

from sqlalchemy import text

from segue.serving.store import engines, migrating
from segue.serving.store.urls import read_url

EVENTS = [(1, "a", "i1", 0.5), (3, "b", "i2", None)]
_WRITTEN = (
    "INSERT INTO events (seq, event_id, user_id, item_id, timestamp, action, value, recommendation_id, received)"
    " VALUES (1, 'a', 'u', 'i1', 10, 'view', 0.5, 'r', 20), (3, 'b', 'u', 'i2', 11, NULL, NULL, NULL, 21)",
    "INSERT INTO items (item_id, seq, document) VALUES ('i1', 1, '{\"item_id\": \"i1\"}')",
    "INSERT INTO served (seq, recommendation_id, user_id, model, shadow, moment, received, action, items, scores)"
    " VALUES (1, 'r', 'u', 'm', FALSE, NULL, 9, NULL, '[\"a\"]', '[0.5]')",
    "INSERT INTO models (name, path, source, role, weight, created, learnt_to_seq, document, generation)"
    " VALUES ('m', 'p', 's', 'active', 1.0, 5, 0, '{}', 1)",
    "INSERT INTO keys (key_id, hash, scopes, created) VALUES ('k', 'h', '[\"admin\"]', 5)",
    "UPDATE marks SET value = 3 WHERE name = 'events'",
    "UPDATE marks SET value = 1 WHERE name <> 'events'",
)


def write_version_1(url: str) -> None:
    """Make the tables of version 1 and fill them."""
    read = read_url(url)
    readers = engines.reading(read)
    writers = engines.writing(read, readers)
    migrating.bring_up(writers, url, migrate=True, to="0001")
    with writers.begin() as connection:
        for statement in _WRITTEN:
            connection.exec_driver_sql(statement) if ":" not in statement else connection.execute(
                text(statement.replace(":", "\\:"))
            )
    readers.dispose()
    writers.dispose()
