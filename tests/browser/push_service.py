"""A push service on loopback, and a browser's half of a subscription: Chromium's own needs a service of Google's."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import http_ece  # type: ignore[import-untyped]  # the package has no types
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUTH = b"0123456789abcdef"
FAKE = """
(() => {
  const given = %s;
  let current = JSON.parse(sessionStorage.getItem("fake-subscription"));
  const keep = (value) => { current = value; sessionStorage.setItem("fake-subscription", JSON.stringify(value)); };
  const made = () => current && { ...current, toJSON: () => ({ ...current, expirationTime: null }),
    unsubscribe: async () => { keep(null); return true; } };
  PushManager.prototype.subscribe = async function (options) {
    if (!options.userVisibleOnly || !options.applicationServerKey) throw new TypeError("not as browsers want it");
    keep(given);
    return made();
  };
  PushManager.prototype.getSubscription = async () => made();
})();
"""


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class PushServer:
    """Takes what the notifier pushes; `told` has it decrypted, as a browser would."""

    def __init__(self) -> None:
        self.told: Queue[dict[str, Any]] = Queue()
        self._key = ec.generate_private_key(ec.SECP256R1())
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(201)
                self.end_headers()
                outer.told.put(json.loads(http_ece.decrypt(body, private_key=outer._key, auth_secret=AUTH)))

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> "PushServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def script(self) -> str:
        """For a page: its browser's subscriptions lead here."""
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        endpoint = f"http://127.0.0.1:{self._server.server_port}/browser"
        return FAKE % json.dumps({"endpoint": endpoint, "keys": {"p256dh": _text(point), "auth": _text(AUTH)}})
