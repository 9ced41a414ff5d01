"""Signs of a proxy in a request.

Without a key the service answers everybody who reaches its loopback address. A proxy on the same machine reaches it
for the whole network, so a request with a sign of one is refused as long as there is no key. A proxy that hides itself
(HTTP/1.1, a loopback ``Host``, no header of its own) cannot be recognised; a key is the protection, this is a net.
"""

from __future__ import annotations

from segue.serving.guard.refusing import Scope

HEADERS = frozenset(
    {
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-host",
        b"x-original-for",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-envoy-external-address",
        b"true-client-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"client-ip",
        b"cdn-loop",
        b"proxy-connection",
        b"x-proxyuser-ip",
    }
)
PREFIXES = (b"x-forwarded", b"cf-", b"x-azure-", b"x-amzn-", b"x-appengine-", b"x-nginx-", b"x-envoy-")


def sign(scope: Scope) -> str | None:
    """What shows that a request came through a proxy, or None.

    Args:
        scope: of ASGI, ``http`` or ``websocket``; header names are in lower case there.
    """
    hosts = 0
    for name, _ in scope["headers"]:
        if name in HEADERS or name.startswith(PREFIXES):
            return f"the header {name.decode('latin-1')[:60]}"
        hosts += name == b"host"
    if hosts > 1:
        return "more than one Host"
    # nginx speaks HTTP/1.0 to what it passes requests to, unless it is told otherwise.
    if scope.get("http_version") == "1.0":
        return "HTTP/1.0, which proxies speak"
    return None
