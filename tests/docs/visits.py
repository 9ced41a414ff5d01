"""People who visit the service of a page: what the prose says has happened between two of its commands.

A directive ``<!-- setup: visits.NAME(...) -->`` runs one of these; ``port`` is the service's.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any


def ask(port: int, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
    """One request; the answer's JSON. Raises ``urllib.error.HTTPError``."""
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def send_events(port: int, count: int = 200, users: int = 40) -> None:
    """Views of items on the ring of the log, from users of it."""
    now = time.time()
    rows = [
        {"event_id": f"v-{n}", "user_id": f"u{n % users}", "item_id": f"i{n % 40}", "timestamp": now - count + n}
        for n in range(count)
    ]
    for row in rows:
        row["action"] = "view"
    ask(port, "POST", "/v1/events", {"events": rows})


def read_lists(port: int, users: int = 60, rounds: int = 3) -> None:
    """Each user asks, sees the whole list and clicks the first item of every other one."""
    for turn in range(rounds):
        for user in range(users):
            answer = ask(port, "GET", f"/v1/recommend/u{user}?k=10")
            name = answer["recommendation_id"]
            events = [
                {"event_id": f"{name}-{n}", "user_id": f"u{user}", "item_id": item["item_id"], "action": "impression"}
                for n, item in enumerate(answer["items"])
            ]
            if (user + turn) % 2:
                events.append({**events[0], "event_id": f"{name}-click", "action": "click"})
            ask(port, "POST", "/v1/events", {"events": [{**each, "recommendation_id": name} for each in events]})


def activate(port: int, path: str) -> None:
    """Another model takes over, as ``segue serve PATH --activate`` does."""
    name = Path(path).name
    ask(port, "POST", "/v1/models", {"path": path, "role": "waiting"})
    ask(port, "POST", f"/v1/models/{name}/activate")


def use_key(file: str, store: str, port: int) -> None:
    """Start the service of a store that has keys, with a key of the scope ``recommend`` in ``$KEY`` of the shell."""
    made = subprocess.run(
        ["segue", "keys", "create", "--store", store, "--scope", "recommend"],
        capture_output=True,
        text=True,
        check=True,
    )
    Path(file).write_text(f"declare -- KEY={made.stdout.split()[0]}\n")
    subprocess.run(["segue", "serve", "models/shop", "--store", store], check=True)


def serve_plainly() -> None:
    """A service without exploration on a store of its own, and lists that people read there."""
    subprocess.run(["segue", "serve", "models/shop", "--store", "sqlite:///plain.db"], check=True)
    read_lists(int(os.environ["DOCS_PORT"]), rounds=1)
