"""Pages about the client of a service run from their first command to their last (pages.py)."""

import walk
from pages import INSTALLATION, PageTest

import package


def setUpModule():
    global CLIENT
    CLIENT = package.make_importable()


class ClientPagesTest(PageTest):
    def test_client(self):
        self.needs("studies/matplotlib", "--studies")
        self.has_python(CLIENT, "/usr/lib/python3/dist-packages", walk.ROOT / ".deps/studies")
        self.walk("docs/client.md", without=INSTALLATION)

    def test_front_page_of_the_package(self):
        self.has_python(CLIENT, "/usr/lib/python3/dist-packages")
        self.walk("python/README.md", without=INSTALLATION)
