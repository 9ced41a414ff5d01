"""What the faults share with the tests of the service."""

from tests.serving.conftest import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]
