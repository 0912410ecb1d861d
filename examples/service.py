"""Samples over HTTP: a run, or a folder that `zerosum export` wrote, loaded once and asked by many.

    python examples/service.py runs/photos --port 8000
    curl 'http://127.0.0.1:8000/sample?seed=3&n=4' --output four.png

`/` says in JSON what is served. `/sample` takes seed (0 or more), n (1 to 64) and, of a conditional generator, label;
it answers with one PNG. The same question has the same answer. What is wrong with a question is said in a sentence of
JSON, {"error": ...}, with status 400 or 404. Without a model it trains a small one first, in some seconds.

It has no encryption and no accounts: it listens on this machine alone, and belongs behind a proxy that has both.
"""

import argparse
import io
import json
import math
import sys
import tempfile
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import zerosum
from zerosum.utils.errors import ConfigError, ZerosumError
from zerosum.utils.pictures import grid

MOST = 64  # images in an answer: what one question may cost
LARGEST_SEED = 2**31
JSON = "application/json"


class Refused(Exception):
    """A question that cannot be answered, with its status and a sentence that says why."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def wanted(query: str) -> dict[str, str]:
    """The parameters of a query by name. Raises Refused for unknown and repeated ones."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=10)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "The query is not of the form seed=3&n=4.") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in ("seed", "n", "label"):
            raise Refused(HTTPStatus.BAD_REQUEST, f"There is no parameter {name!r}; there are seed, n and label.")
        if name in found:
            raise Refused(HTTPStatus.BAD_REQUEST, f"{name} is given twice; give it once.")
        found[name] = value
    return found


def whole_number(name: str, text: str, least: int, most: int) -> int:
    """The number in a parameter. Raises Refused when it is none, or out of range."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"{name} must be a whole number from {least} to {most}, not {text[:40]!r}."
        )
    return int(text)


class Service(ThreadingHTTPServer):
    """A server of one model. Each connection has a thread; the model serves one of them at a time."""

    daemon_threads = True  # a slow client does not keep the program from ending

    def __init__(self, model: zerosum.Model, host: str, port: int) -> None:
        super().__init__((host, port), Handler)
        self.model, self.lock = model, threading.Lock()

    def about(self) -> dict[str, Any]:
        """What is served."""
        model = self.model
        labels = list(model.conditions[0].values) if len(model.conditions) == 1 else []
        return {"recipe": model.recipe.name, "shape": model.info.shape, "images_seen": model.images, "labels": labels}

    def sample(self, query: str) -> bytes:
        """A PNG of what a query asks for. Raises Refused."""
        asked = wanted(query)
        seed = whole_number("seed", asked.get("seed", "0"), 0, LARGEST_SEED)
        n = whole_number("n", asked.get("n", "1"), 1, MOST)
        try:
            with self.lock:  # one batch already takes every core, and two at once would take turns with them
                images = self.model.sample(n, seed=seed, label=asked.get("label"))  # (n, H, W, C)
        except ConfigError as error:  # there is no such label: the sentence names those that there are
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        info, columns = self.model.info, math.ceil(math.sqrt(n))
        rows = math.ceil(n / columns)
        sheet = grid(images, rows, columns, value_range=info.value_range, transparent=info.alpha)
        file = io.BytesIO()
        sheet.save(file, format="PNG")
        return file.getvalue()

    def answer_to(self, target: str) -> tuple[bytes, str]:
        """What is answered to a path with its query, and the type of it. Raises Refused."""
        try:
            path, query = urlsplit(target)[2:4]
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "This is no address.") from error
        if path == "/":
            return json.dumps(self.about()).encode(), JSON
        if path == "/sample":
            return self.sample(query), "image/png"
        raise Refused(HTTPStatus.NOT_FOUND, "There are / and /sample?seed=3&n=4.")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Service
    timeout = 30  # seconds for a client to say what it wants

    def do_GET(self) -> None:
        """Answer, whatever happens."""
        status, kind = HTTPStatus.OK, JSON
        try:
            body, kind = self.server.answer_to(self.path)
        except Refused as refused:
            status, body = refused.status, json.dumps({"error": str(refused)}).encode()
        except Exception as error:  # what it was is for the log, not for the client
            self.log_error("%r", error)
            status, body = (
                HTTPStatus.INTERNAL_SERVER_ERROR,
                b'{"error": "This failed; the log of the service says why."}',
            )
        with suppress(ConnectionError, TimeoutError):  # a client that has gone
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)


def small_model() -> zerosum.Model:
    """A generator of small portraits, trained here and now."""
    with tempfile.TemporaryDirectory() as folder:
        small = ["size=16", "generator.width=16", "discriminator.width=16", "score.images=0"]
        run = zerosum.train("dcgan", "builtin:portraits:500", out=Path(folder) / "run", images=6_400, overrides=small)
        return zerosum.load(run.path, task="generate")


def main() -> None:
    """Load the model and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve samples of a trained generator over HTTP.")
    parser.add_argument("model", nargs="?", help="a run folder, or an exported one; without it, one is trained first")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    given = parser.parse_args()
    try:
        model = small_model() if given.model is None else zerosum.load(given.model, task="generate")
        if model.info.is_vectors:
            sys.exit(f"{given.model} makes vectors, which are no pictures.")
        service = Service(model, given.host, given.port)
    except (ZerosumError, OSError) as error:  # no such run, or the port is taken
        sys.exit(str(error))
    with service:
        print(f"http://{given.host}:{service.server_port}/sample?seed=3&n=4   (Ctrl-C ends it)", flush=True)
        try:
            service.serve_forever()
        except KeyboardInterrupt:
            print("Ended.")


if __name__ == "__main__":
    main()
