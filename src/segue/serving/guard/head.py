"""HEAD for every GET route whose answer is cheap: the same headers, and no body (RFC 9110, section 9.3.2)."""

from __future__ import annotations

from segue.serving.guard.refusing import App, Message, Receive, Scope, Send

_COSTLY = ("/v1/recommend", "/v1/generate")


class HeadAsGet:
    """ASGI middleware: the application sees GET. Lists are left out: they cost a ranking, and are logged as served."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as GET does, without the body."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].startswith(_COSTLY):
            await self.app(scope, receive, send)
            return

        async def headers_only(message: Message) -> None:
            scope["method"] = "HEAD"  # the server and the log see what was asked
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        scope["method"] = "GET"  # in place: what routing leaves in the scope is read outside
        try:
            await self.app(scope, receive, headers_only)
        finally:
            scope["method"] = "HEAD"
