"""A plain FastAPI application that gives back what it was sent: the least that an answer can cost."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

app = FastAPI()


@app.post("/echo")
def echo(body: dict[str, Any]) -> dict[str, Any]:
    return body
