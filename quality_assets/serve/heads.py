"""How long the head of a request may be, before anything is made of it.

Uvicorn's reader of requests keeps a header, an address, or what stands between the parts of a body, however long it is:
150 MB of one took 200 MB, and held up all other requests for minutes. A guard sees a request once its head is whole.
"""

from __future__ import annotations

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from quality_assets.serve.ports import LIMITED_HEADS

MAX_HEAD_BYTES = 1 << 16
_SENTENCE = f"What stands before the body of a request is longer than {MAX_HEAD_BYTES >> 10} kB."
_ANSWER = (
    "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    f"content-length: {len(_SENTENCE)}\r\n\r\n{_SENTENCE}"
)


class LimitedHeads(HttpToolsProtocol):
    """Uvicorn's protocol, which closes a connection that sends more than that and no body."""

    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take what has come, and end where neither a head nor a part of a body is whole for too long."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            # A request that is being answered has its head, and gets no second answer.
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_ANSWER.encode())
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body is whole, which the guard counts."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._head_bytes = 0
        super().on_message_complete()


def limit_all_heads() -> None:
    """Have every server of this process use it, also where another program starts it."""
    HTTP_PROTOCOLS["auto"] = LIMITED_HEADS
