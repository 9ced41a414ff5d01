"""The event store: what happened, what was shown, which models serve; durable, in SQLite or PostgreSQL."""

from segue.serving.store.follow import Follower as Follower
from segue.serving.store.pruning import Pruner as Pruner
from segue.serving.store.rows import Appended as Appended
from segue.serving.store.rows import Event as Event
from segue.serving.store.rows import KeyRow as KeyRow
from segue.serving.store.rows import ModelRow as ModelRow
from segue.serving.store.rows import ServedList as ServedList
from segue.serving.store.rows import StoredEvent as StoredEvent
from segue.serving.store.rows import UserEvents as UserEvents
from segue.serving.store.settings import StoreConfig as StoreConfig
from segue.serving.store.store import Store as Store
from segue.serving.store.tombstones import Erasure as Erasure
from segue.serving.store.writer import Writer as Writer
