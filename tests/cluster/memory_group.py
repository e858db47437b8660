"""Learners in a control group with little memory."""

import contextlib
import os
import pathlib

from harness import ClusterTest

GROUPS = pathlib.Path("/sys/fs/cgroup")


@contextlib.contextmanager
def memory_group(limit_bytes):
    """Makes a control group with this memory, and returns where to write its processes. None
    without root."""
    name = f"mentor-test-{os.getpid()}"
    v1 = (GROUPS / "memory" / "memory.limit_in_bytes").exists()
    folder = (GROUPS / "memory" if v1 else GROUPS) / name
    try:
        folder.mkdir()
        limit = folder / ("memory.limit_in_bytes" if v1 else "memory.max")
        limit.write_text(str(limit_bytes))
    except OSError:
        with contextlib.suppress(OSError):
            folder.rmdir()
        yield None
        return
    try:
        yield folder / "cgroup.procs"
    finally:
        folder.rmdir()


class MemoryGroupTest(ClusterTest):
    def start_in(self, group, server, *arguments):
        """A learner in a control group."""
        return self.start_learner(server, 0, *arguments, before=f"echo $BASHPID > {group}")

    def group(self, limit_bytes):
        group = self.enterContext(memory_group(limit_bytes))
        if group is None:
            self.skipTest("needs root and a control group for memory")
        return group
