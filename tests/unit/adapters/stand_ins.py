"""Real HTTP servers that answer as a script says: a chat endpoint that speaks OpenAI's protocol, and a webhook."""

import dataclasses
import email.message
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.ports import free_port

HANG = object()
DRIP = object()
CUT = object()


@dataclasses.dataclass
class Seen:
    path: str
    headers: email.message.Message
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class StandIn:
    """`script` holds (status, headers, body) in order; the last one is given for ever. `seen` is what came."""

    def __init__(self, *script):
        self.script = list(script)
        self.seen = []
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append(Seen(self.path, self.headers, body))
                status, headers, answer = outer.next_answer(outer.seen[-1])
                if answer is HANG:
                    outer._closing.wait(10)
                    self.close_connection = True
                    return
                text = (
                    answer
                    if isinstance(answer, bytes)
                    else json.dumps({} if answer in (DRIP, CUT) else answer).encode()
                )
                length = {DRIP: 1000, CUT: 1000}.get(answer if answer in (DRIP, CUT) else None, len(text))
                self.send_response(status)
                for name, value in {"Content-Length": str(length), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if answer is DRIP:
                    self._drip()
                elif answer is CUT:
                    self.close_connection = True
                else:
                    self.wfile.write(text)

            def _drip(self):
                self.close_connection = True
                try:
                    while not outer._closing.wait(0.05):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.block_on_close = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def next_answer(self, seen):
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def close(self):
        self._closing.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def nowhere():
    """The address of a port that nobody listens on."""
    return f"http://127.0.0.1:{free_port()}"


class ChatStandIn(StandIn):
    """An OpenAI-compatible endpoint: it wants the path, the key and the shape of the real one before it answers.

    `refuses` are predicates over a request's JSON, each with the text of its 400.
    """

    KEY = "sk-only-for-this-test"

    def __init__(self):
        super().__init__(chat(json.dumps(GOOD)))
        self.refuses = []

    def next_answer(self, seen):
        if seen.path != "/v1/chat/completions":
            return error(404, f"no such path: {seen.path}")
        if seen.headers.get("Authorization") != f"Bearer {self.KEY}":
            return error(401, f"Incorrect API key provided: {seen.headers.get('Authorization')}")
        asked = seen.json
        if not asked["model"] or [message["role"] for message in asked["messages"]] != ["system", "user"]:
            return error(400, "messages must be a system and a user message")
        for refuses, text in self.refuses:
            if refuses(asked):
                return error(400, text)
        return super().next_answer(seen)

    @property
    def asked(self):
        return [seen.json for seen in self.seen]


GOOD = {
    "what": "Vibration rose far above its band while the flow stayed normal.",
    "causes": ["A bearing is worn"],
    "steps": ["Listen to the bearing", "Plan its replacement"],
    "sources": [1, 2],
}


def chat(content, *, finish="stop", usage=(120, 40), **message):
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "served-name",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
        ],
    }
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return 200, {"Content-Type": "application/json"}, body


def error(status, text, *, code=None, headers=None):
    body = {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": code}}
    return status, {"Content-Type": "application/json", **(headers or {})}, body
