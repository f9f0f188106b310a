"""The platform's contract over HTTP: the two documents, and a page to read them on."""

import json
from collections.abc import Callable
from typing import Any

import jinja2
from aiohttp import web

from simulators.platform.answers import json_answer
from simulators.platform.portal.pages import HEADERS, HERE

Document = Callable[[], dict[str, Any]]


class Documents:
    """Serves what the two functions make; both know their URLs only once the platform listens."""

    def __init__(self, openapi: Document, asyncapi: Document) -> None:
        self._openapi = openapi
        self._asyncapi = asyncapi

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/openapi.json", self.serve_openapi)
        app.router.add_get("/asyncapi.json", self.serve_asyncapi)
        app.router.add_get("/docs", self.page)

    async def serve_openapi(self, request: web.Request) -> web.StreamResponse:
        return json_answer(200, self._openapi())

    async def serve_asyncapi(self, request: web.Request) -> web.StreamResponse:
        return json_answer(200, self._asyncapi())

    async def page(self, request: web.Request) -> web.StreamResponse:
        templates = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True)
        templates.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
        text = templates.get_template("docs.html").render(caller=None, openapi=self._openapi(), asyncapi=self._asyncapi())
        return web.Response(text=text, content_type="text/html", headers=HEADERS)
