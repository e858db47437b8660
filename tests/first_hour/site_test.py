"""The site of docs/ is built without a dead link and needs nothing from the network. Skipped where
deploy/install.sh --docs was not run."""

import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a browser would load without a click.
LOADED = re.compile(
    r"""<(?:script|img|iframe)[^>]* src=["']?(https?:|//)|<link[^>]*stylesheet[^>]*//"""
)


class SiteTest(unittest.TestCase):
    def test_the_site_has_no_dead_link_and_needs_no_network(self):
        if not (ROOT / ".deps/docs/mkdocs").is_dir():
            self.skipTest("deploy/install.sh --docs was not run")
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [ROOT / "docs/build.sh", "--out", folder], capture_output=True, text=True
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            pages = list(pathlib.Path(folder).rglob("*.html"))
            self.assertGreater(len(pages), 50)
            for page in pages:
                self.assertIsNone(LOADED.search(page.read_text()), page)
            index = pathlib.Path(folder, "search/search_index.json").read_text()
            self.assertIn("glossary.html", index)
            home = pathlib.Path(folder, "index.html").read_text()
            self.assertIn("Train it", home)
            self.assertIn('href="tutorials/your_robot.html"', home)
            self.assertIn('id="users"', pathlib.Path(folder, "pages.html").read_text())

    def test_the_index_names_every_page(self):
        docs = ROOT / "docs"
        text = (docs / "index.md").read_text()
        for page in [*docs.glob("*.md"), *docs.glob("tutorials/*.md")]:
            name = page.relative_to(docs).as_posix()
            with self.subTest(name):
                self.assertTrue(name == "index.md" or f"]({name})" in text)


if __name__ == "__main__":
    unittest.main()
