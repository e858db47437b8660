"""deploy/secrets.sh: what it lays out opens the roles' doors, and no other doors."""

import os
import shutil
import stat
import subprocess
import unittest

from harness import BIN, ROOT, ClusterTest

ROLES = ["meta-learner", "learner", "actor", "operator", "admin", "viewer", "web"]


class SecretsTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.secrets = self.folder / "secrets"

    def make(self, *arguments, code=0):
        done = subprocess.run(
            [ROOT / "deploy/secrets.sh", self.secrets, *arguments],
            env={**os.environ, "MENTORCTL": str(BIN / "mentorctl")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def tls(self, role):
        folder = self.secrets / role
        return [
            *("--tls_cert", folder / "tls.crt"),
            *("--tls_key", folder / "tls.key"),
            *("--tls_ca", folder / "ca.crt"),
        ]

    def opens(self, role, name):
        certificate = self.secrets / role / "tls.crt"
        command = ["openssl", "verify", "-CAfile", self.secrets / role / "ca.crt"]
        done = subprocess.run(
            [*command, "-purpose", "sslserver", "-verify_hostname", name, certificate],
            capture_output=True,
        )
        return done.returncode == 0

    def test_every_role_gets_in_with_its_folder(self):
        self.make("--host", "lab.example.org")
        for role in ROLES:
            files = {file.name for file in (self.secrets / role).iterdir()}
            wanted = {"tls.crt", "tls.key", "ca.crt"}
            wanted |= {"token"} if role not in ("meta-learner", "web") else set()
            wanted |= {"tokens"} if role in ("meta-learner", "learner") else set()
            self.assertEqual(files, wanted)
            for file in (self.secrets / role).iterdir():
                self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o400, file)
        self.assertEqual(
            {file.name for file in (self.secrets / "ca").iterdir()}, {"ca.crt", "ca.key"}
        )
        for name in ("lab.example.org", "meta-learner", "meta-learner-0.meta-learner.mentor.svc"):
            self.assertTrue(self.opens("meta-learner", name), name)
            self.assertFalse(self.opens("learner", name), name)
        self.assertTrue(self.opens("learner", "learner.mentor"))
        self.assertFalse(self.opens("actor", "localhost"))

        tokens = {role: ["--token_file", self.secrets / role / "token"] for role in ROLES}
        mine = ["--tokens", self.secrets / "meta-learner/tokens"]
        _, address = self.start_meta_learner(
            self.folder / "state", 0, *self.tls("meta-learner"), *mine
        )
        _, learner = self.start_learner(
            address,
            0,
            *self.tls("learner"),
            *("--tokens", self.secrets / "learner/tokens"),
            *tokens["learner"],
        )
        self.start_actor(learner, 1, *self.tls("actor"), *tokens["actor"])
        operator = [*self.tls("operator"), *tokens["operator"]]
        self.create_experiment(address, "one", "--wait", *operator)

        # New pairs from the same authority; tokens and the authority stay.
        before = {path: path.read_bytes() for path in self.secrets.rglob("*") if path.is_file()}
        self.make("--renew", "--days", "30")
        for path, content in before.items():
            renewed = path.name in ("tls.crt", "tls.key")
            self.assertEqual(path.read_bytes() != content, renewed, path)
        self.mentorctl(address, "list", *self.tls("viewer"), *tokens["viewer"])
        # The pages open the door with their certificate and say who comes with the user's token.
        self.mentorctl(address, "list", *self.tls("web"), *tokens["viewer"])
        self.mentorctl(address, "list", *self.tls("web"), code=4)
        self.assertFalse(self.opens("meta-learner", "lab.example.org"))

    def test_renew_makes_what_an_earlier_version_lacked_and_no_token_twice(self):
        self.make()
        tokens = self.secrets / "meta-learner/tokens"
        lines = tokens.read_text().splitlines(keepends=True)
        tokens.chmod(0o600)
        tokens.write_text("".join(line for line in lines if not line.startswith("admin ")))
        shutil.rmtree(self.secrets / "admin")
        (self.secrets / "viewer/token").unlink()
        self.make("--renew")
        self.assertTrue((self.secrets / "admin/token").exists())
        self.assertFalse((self.secrets / "viewer/token").exists())
        names = [line.split()[0] for line in tokens.read_text().splitlines()]
        self.assertEqual(sorted(names), ["admin", "learner", "operator", "viewer"])

    def test_what_it_cannot_do_is_refused_with_the_remedy(self):
        self.assertIn("nothing to renew from", self.make("--renew", code=1))
        self.make("--days", "4000", code=2)
        self.assertFalse((self.secrets / "actor").exists())
        self.make()
        self.assertIn("--renew makes new certificates from it", self.make(code=1))


if __name__ == "__main__":
    unittest.main()
