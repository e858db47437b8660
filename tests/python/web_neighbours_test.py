"""mentor-web between owners: none holds up another one (tests/chaos/callers.py measures it)."""

import asyncio
import contextlib
import pathlib
import time
import unittest.mock
import urllib.parse
import urllib.request

import browser

PASTE = """n => document.querySelector('.cm-content').cmView.view.dispatch(
  {changes: {from: 0, insert: 'seed:1\\n'.repeat(n)}})"""
PAGES = 6


def setUpModule():
    browser.BrowserTest.CLIENT = browser.require()


def children(id="self"):
    """The ids of a process's children."""
    found = []
    for task in pathlib.Path(f"/proc/{id}/task").iterdir():
        with contextlib.suppress(OSError):  # A thread that ends meanwhile.
            found += (task / "children").read_text().split()
    return found


class WebNeighboursTest(browser.BrowserTest):
    def test_long_texts_are_read_apart(self):
        from mentor_client import MentorError
        from mentor_client.web import apart, spec_text

        tasks = "".join(f"task {{ parameters: [{i}, 0.5] }}\n" for i in range(9000))
        text = f"benchmark {{\n task_set {{\n{tasks} }} }}"
        wanted = ["benchmark.task_set", 9000, 9_000_000, "nothing"]
        places = asyncio.run(apart.run(spec_text.places, text, wanted))
        self.assertEqual(places, spec_text.places(text, wanted))
        self.assertEqual(places[0], (2, len("benchmark {\n task_set {")))
        self.assertEqual(places[2:], [None, None])
        # It has bounds of time and memory.
        with unittest.mock.patch.object(apart, "CPU_S", 1):
            for function, *arguments in ((pow, 3, 10**9), (bytes, 4 << 30)):
                with self.assertRaisesRegex(MentorError, "takes more than 1 s|too large"):
                    asyncio.run(apart.run(function, *arguments))
        self.assertEqual(children(), [])

    def test_what_is_read_apart_ends_with_its_page(self):
        from mentor_client.web import apart

        async def leave():
            task = asyncio.create_task(apart.run(time.sleep, 3600))
            while not children():
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.assertEqual(children(), [])

        asyncio.run(asyncio.wait_for(leave(), 60))

    def test_places_go_round_between_owners(self):
        from mentor_client.web.places import Places

        async def share():
            places, began, ends = Places(3, 2), [], {}

            async def work(name):
                async with places.of(name[0]):
                    began.append(name)
                    ends[name] = asyncio.Event()
                    await ends[name].wait()

            async def settle():
                for _ in range(10):
                    await asyncio.sleep(0)
                found, began[:] = list(began), []
                return found

            tasks = {
                name: asyncio.create_task(work(name)) for name in "a0 a1 a2 a3 b0 b1 c0".split()
            }
            self.assertEqual(await settle(), ["a0", "a1", "b0"])  # Not all are one owner's.
            tasks["a2"].cancel()  # It waits, and leaves the line.
            ends["b0"].set()
            self.assertEqual(await settle(), ["b1"])
            ends["a0"].set()
            self.assertEqual(await settle(), ["c0"])  # It has none, and a still one.
            tasks["a1"].cancel()  # It works, and gives its place back.
            self.assertEqual(await settle(), ["a3"])
            for name in ("c0", "a3", "b1"):
                ends[name].set()
            await settle()
            self.assertTrue(all(task.done() for task in tasks.values()))

        asyncio.run(asyncio.wait_for(share(), 60))

    def test_pages_with_long_texts_leave_threads_to_others(self):  # Nightly
        """26 pages of one user held every thread: nobody could sign in for minutes."""
        ann, bob = self.token("operator", "ann"), self.token("operator", "bob")
        self.start_service("--tokens", self.folder / "tokens", threads=0)
        address = self.start_web()
        form = urllib.parse.urlencode({"token": ann}).encode()
        most = 0
        with self.page() as page:
            page.goto(f"{address}/new")
            page.get_by_label("Token").fill(bob)
            page.get_by_role("button", name="Sign in").click()
            page.locator(".cm-content").wait_for()
            pages = [page, *(page.context.new_page() for _ in range(PAGES - 1))]
            for one in pages:
                one.goto(f"{address}/new")
                one.locator(".cm-content").wait_for()
            for one in pages:
                one.evaluate(PASTE, 20_000)
            waiting = pages
            while waiting:
                most = max(most, len(children(self.web.child.pid)))
                sign_in = urllib.request.Request(f"{address}/sign_in", form, {"Origin": address})
                with urllib.request.urlopen(sign_in, timeout=60) as answer:
                    self.assertEqual(answer.status, 200)
                waiting = [one for one in waiting if not one.locator(".wrong").count()]
        self.assertIn(most, (1, 2))  # Programs that read for one owner.


if __name__ == "__main__":
    unittest.main()
