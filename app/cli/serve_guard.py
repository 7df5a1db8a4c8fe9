"""Who may open the console in a browser: whoever has the secret of the address that was printed, nobody else.

textual-serve does the serving and asks nobody who he is. So here stands in front of it: the secret, kept as a
cookie; the name under which it was asked, against rebound names; the page that asks, against foreign pages.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from textual_serve.server import Server

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_CONSOLES: Final = 8
"""Pages at a time; each is a process."""
SECRET_BYTES: Final = 24
GRACE_SECONDS: Final = 3.0
"""For the consoles to close when the serving ends."""
_HEADERS: Final = {
    # Nothing is fetched from elsewhere, not even the font that the page names.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws://{host};"
        " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guarded(Server):
    """Serves `command` at a socket that is bound to a loopback address."""

    def __init__(self, command: str, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self._host = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._secret = secrets.token_urlsafe(SECRET_BYTES)
        self._cookie = f"taskmessenger-{port}"  # cookies know no ports
        self._listener = listener
        self._open = 0
        super().__init__(command, host, port, title="Task Messenger", public_url=f"http://{self._host}")

    @property
    def address(self) -> str:
        """What to open. Whoever has it may do what the operator may."""
        return f"{self.public_url}/?token={self._secret}"

    def run(self) -> None:
        """Until Ctrl-C."""
        web.run_app(
            self._make_app(),
            sock=self._listener,
            print=None,
            access_log=None,  # it would write down the secret
            shutdown_timeout=GRACE_SECONDS,
        )

    async def on_startup(self, app: web.Application) -> None:
        """Says nothing: the address has been printed."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        app.middlewares.append(guard)
        app.on_response_prepare.append(self._headers)
        return app

    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if request.host != self._host or (origin is not None and origin != self.public_url):
            raise web.HTTPForbidden(text="this console is for this machine alone")
        if request.path == "/" and self._is_secret(request.query.get("token", "")):
            page = web.HTTPSeeOther("/")
            page.set_cookie(self._cookie, self._secret, httponly=True, samesite="Strict", path="/")
            raise page
        if not self._is_secret(request.cookies.get(self._cookie, "")):
            raise web.HTTPForbidden(text="open the whole address that `taskmessenger serve` has printed")
        return await handler(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One console for one page, and not too many of them."""
        if self._open >= MAX_CONSOLES:
            raise web.HTTPServiceUnavailable(text="too many consoles are open: close one")
        self._open += 1
        try:
            return await super().handle_websocket(request)
        finally:
            self._open -= 1

    def _is_secret(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._secret.encode())

    async def _headers(self, _request: Any, response: web.StreamResponse) -> None:
        for name, words in _HEADERS.items():
            response.headers[name] = words.format(host=self._host)
