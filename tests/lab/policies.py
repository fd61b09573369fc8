"""The web server of the world's MTA-STS policies (RFC 8461 §3.3), at one address.

Not at port 443: there Postern asks public addresses alone, and those of documentation are none.
"""

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.lab.cast import POLICIES, Provider
from tests.lab.namespace import Namespace
from tests.peers.certificates import Authority

PORT = 8443
PATH = "/.well-known/mta-sts.txt"


@contextmanager
def policies(space: Namespace, authority: Authority, cast: Sequence[Provider]) -> Iterator[None]:
    """Serve the policies of all domains that have one; nothing is started where none has."""
    texts = {
        f"mta-sts.{domain}.example": _policy(provider)
        for provider in cast
        if provider.has_policy
        for domain in provider.domains
    }
    if not texts:
        yield
        return

    class Handler(BaseHTTPRequestHandler):
        """Tells the policy of the host it was asked for."""

        def do_GET(self) -> None:
            """One policy."""
            text = texts.get(self.headers.get("Host", "").partition(":")[0])
            if self.path != PATH or text is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    pair = authority.issue(*texts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    server = ThreadingHTTPServer((POLICIES, PORT), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = context.wrap_socket(space.open_socket(), server_side=True)
    server.allow_reuse_address = True
    server.socket.bind((POLICIES, PORT))
    server.server_activate()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _policy(provider: Provider) -> bytes:
    lines = ["version: STSv1", "mode: enforce", *(f"mx: {name}" for name in provider.names)]
    return ("\r\n".join([*lines, "max_age: 86400"]) + "\r\n").encode()
