"""A server on loopback that speaks what mentor_signal uses of the Hugging Face Hub: what a
repository holds, its files, and commits."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse


class Hub:
    """`repositories` has the files of each by name, `told` the requests so far. `sizes` are told in
    place of true ones."""

    def __init__(self):
        self.repositories, self.sizes, self.told = {}, {}, []
        self.url = ""

    def commit_of(self, name):
        files = sorted(self.repositories[name].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()

    def answer(self, method, path, body):
        """Returns status, headers and content."""
        self.told.append(f"{method} {path}")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "repos"] or parts[:2] == ["api", "validate-yaml"]:
            return self.made(parts[2:], body)
        if parts[:2] == ["api", "models"]:
            name = "/".join(parts[2:4])
            if name in self.repositories:
                return self.of_repository(name, parts[4:], body)
        elif len(parts) > 4 and parts[2] == "resolve":
            data = self.repositories.get("/".join(parts[:2]), {}).get(parts[4])
            if data is not None:
                name = "/".join(parts[:2])
                headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
                headers["X-Repo-Commit"] = self.commit_of(name)
                return 200, headers, data
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"

    def made(self, rest, body):
        if rest == ["create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.repositories.setdefault(name, {})
            return 200, {}, {"url": f"{self.url}/{name}"}
        return 200, {}, {"errors": [], "warnings": []}

    def of_repository(self, name, rest, body):
        files = self.repositories[name]
        if rest[:1] == ["preupload"]:
            asked = json.loads(body)["files"]
            return (
                200,
                {},
                {
                    "files": [
                        {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for file in asked
                    ]
                },
            )
        if rest[:1] == ["commit"]:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    files[value["path"]] = base64.b64decode(value["content"])
            commit = self.commit_of(name)
            url = f"{self.url}/{name}/commit/{commit}"
            return 200, {}, {"commitUrl": url, "commitOid": commit}
        if rest[:1] == ["revision"] and rest[1] not in ("main", self.commit_of(name)):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        siblings = [
            {"rfilename": file, "size": self.sizes.get(file, len(data)), "blobId": "0" * 40}
            for file, data in files.items()
        ]
        return 200, {}, {"id": name, "sha": self.commit_of(name), "siblings": siblings}


@contextlib.contextmanager
def serving():
    """Yields a Hub that answers until the end of the block."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            path = urllib.parse.unquote(self.path.partition("?")[0])
            status, headers, content = hub.answer(self.command, path, self.rfile.read(length))
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in {"Content-Length": len(data), **headers}.items():
                self.send_header(key, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_HEAD = answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
