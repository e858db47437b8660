"""Pages of the documentation run from their first command to their last (pages.py), with the
libraries that they name. Longer ones are in long_walks_test.py; the walk of an hour is
tests/bare_machine.sh --only first_hour."""

import walk
from pages import INSTALLATION, PageTest

PYTHON = "python_block"


class PagesTest(PageTest):
    def test_python(self):
        self.has_all_of_python()
        output = self.walk("docs/python.md", without=INSTALLATION)
        self.assertIn("success after 2 updates of an agent (seg2): ", output)

    def test_the_zoo(self):
        self.has_all_of_python()
        pages = sorted((walk.ROOT / "zoo").glob("*/README.md"))
        names = [str(page.relative_to(walk.ROOT)) for page in pages]
        self.assertGreaterEqual(len(names), 3)
        self.walk(*names, only=PYTHON)

    def test_security(self):
        self.walk("docs/security.md")
