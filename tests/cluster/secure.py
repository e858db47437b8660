"""A fleet over TLS in which users, learners and actors have tokens."""

import hashlib
import secrets

import peers
from fleet import Fleet
from harness import ClusterTest


class SecureFleet(Fleet):
    def __init__(self, test, state, credentials):
        super().__init__(test, state)
        self.credentials = credentials

    def flags(self, name):
        c, role = self.credentials, name.rsplit("-", 1)[0]
        token, tokens = ["--token_file", c / f"{role}.token"], ["--tokens", c / "tokens"]
        if role == "meta-learner":
            pair = ["--tls_cert", c / "server.crt", "--tls_key", c / "server.key"]
            return [*pair, *tokens]
        if role == "learner":
            return [*c.tls("learner"), "--no_client_certificates", *tokens, *token]
        return ["--tls_ca", c / "ca.crt", *token]


class SecureTest(ClusterTest):
    """Calls take a user in place of a server: ada, bob and cem are operators, viewer only looks."""

    def setUp(self):
        super().setUp()
        self.credentials = peers.Credentials(self.folder / "credentials")
        lines = (self.credentials.folder / "tokens").read_text()
        for user in ("ada", "bob", "cem"):
            token = secrets.token_hex(24)
            self.credentials.write(f"{user}.token", token + "\n")
            lines += f"operator {user} {hashlib.sha256(token.encode()).hexdigest()}\n"
        self.credentials.write("tokens", lines)
        self.state = self.folder / "state"
        self.fleet = SecureFleet(self, self.state, self.credentials)

    def flags_of(self, user):
        c = self.credentials
        token = ["--token_file", c / f"{user}.token"]
        return ["--server", self.fleet.server, "--tls_ca", c / "ca.crt", *token, "--timeout", 60]

    def look(self, name):
        return self.get("viewer", name)
