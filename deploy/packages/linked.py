"""The programs of packages, and the Debian packages whose libraries they load."""

import pathlib
import re
import subprocess

PROGRAMS = ("mentor", "mentorctl", "mentor-actor", "mentor-learner", "mentor-meta-learner")


def packages_of(programs):
    """Returns the names, sorted; libraries of wheels are left out."""
    libraries, found = set(), set()
    for program in programs:
        listing = subprocess.run(["ldd", program], check=True, capture_output=True, text=True)
        libraries.update(re.findall(r"=> (/\S+)", listing.stdout))
    for library in libraries:
        # Debian's packages still name files as before /lib and /usr/lib became one.
        path = str(pathlib.Path(library).resolve()).removeprefix("/usr")
        owner = subprocess.run(["dpkg", "-S", f"*{path}"], capture_output=True, text=True)
        if owner.returncode == 0:
            found.add(owner.stdout.split(":")[0])
    return sorted(found)
