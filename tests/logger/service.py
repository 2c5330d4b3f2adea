"""A stand-in for the service of W&B, that lets a run begin and then fails: ``python service.py HOW`` prints its port.

HOW is ``dies``, ``denies`` (401 to everything) or ``hangs``.
"""

import gzip
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOW = sys.argv[1] if len(sys.argv) > 1 else "dies"


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    begun = False  # a run has been made; from here on it fails

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if not Service.begun:
            self.reply(200, {"data": self.data(json.loads(body)) if self.path.endswith("graphql") else {}})
        elif HOW == "dies":
            os._exit(0)
        elif HOW == "denies":
            self.reply(401, {"error": "the key is no longer valid"})
        else:
            time.sleep(1000)

    do_GET = do_PUT = do_POST

    def data(self, query: dict[str, Any]) -> dict[str, Any]:
        given = query.get("variables") or {}
        if "upsertBucket" not in query["query"]:
            return {}
        Service.begun = True
        project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "somebody"}}
        run = {"id": "r", "name": given["name"], "config": "{}", "historyLineCount": 0, "project": project}
        return {"upsertBucket": {"bucket": run, "inserted": True}}

    def reply(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    print(server.server_address[1], flush=True)
    server.serve_forever()
