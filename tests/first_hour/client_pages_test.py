"""The front page of the client's package runs from its first command to its last (pages.py)."""

from pages import INSTALLATION, PageTest

import package


def setUpModule():
    global CLIENT
    CLIENT = package.make_importable()


class ClientPagesTest(PageTest):
    def test_front_page_of_the_package(self):  # Nightly
        self.has_python(CLIENT, "/usr/lib/python3/dist-packages")
        self.walk("python/README.md", without=INSTALLATION)
