"""The notebook of the client runs from top to bottom against a real service, at night."""

from notebooks import EXAMPLES, NotebookCase

import package


def setUpModule():
    global CLIENT
    CLIENT = package.make_importable()


class LongNotebookTest(NotebookCase):
    def test_the_notebook_runs_from_top_to_bottom(self):
        _, meta_learner = self.start_service(threads=2)
        shown = self.execute("learning_curves.ipynb", EXAMPLES, CLIENT, MENTOR_SERVER=meta_learner)
        self.assertIn("1 pictures", shown)
