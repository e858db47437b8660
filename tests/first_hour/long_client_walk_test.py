"""The page about the client of a service runs from its first command to its last (pages.py), at
night."""

import walk
from pages import INSTALLATION, PageTest

import package


def setUpModule():
    global CLIENT
    CLIENT = package.make_importable()


class LongClientWalkTest(PageTest):
    def test_client(self):
        self.needs("studies/matplotlib", "--studies")
        self.has_python(CLIENT, "/usr/lib/python3/dist-packages", walk.ROOT / ".deps/studies")
        self.walk("docs/client.md", without=INSTALLATION)
