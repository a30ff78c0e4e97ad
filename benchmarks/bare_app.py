"""As little of a server as the embedded one's framework allows: reads the body, answers as many bytes as it is told.

python bare_app.py BYTES    prints the port it listens on
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def app(size: int) -> Starlette:
    """Answers every POST of ``/`` with so many bytes."""
    content = b"x" * size

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(content, media_type="application/json")

    return Starlette(routes=[Route("/", answer, methods=["POST"])])


def main() -> None:
    """Serves until it is terminated."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    print(sock.getsockname()[1], flush=True)
    config = uvicorn.Config(app(int(sys.argv[1])), log_level="warning", access_log=False, lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main()
