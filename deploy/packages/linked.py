"""The programs of packages, and the Debian packages whose libraries they load."""

import pathlib
import re
import subprocess

PROGRAMS = ("mentor", "mentorctl", "mentor-actor", "mentor-learner", "mentor-meta-learner")


def packages_of(programs):
    """Returns the names, sorted; libraries of wheels are left out."""
    libraries = set()
    for program in programs:
        listing = subprocess.run(["ldd", program], check=True, capture_output=True, text=True)
        libraries.update(re.findall(r"=> (/\S+)", listing.stdout))
    # Debian's packages still name files as before /lib and /usr/lib became one.
    paths = [str(pathlib.Path(library).resolve()).removeprefix("/usr") for library in libraries]
    # One call, and no patterns: dpkg takes 0.15 CPU seconds for each start, and as long for each
    # pattern. It fails where a file has no owner.
    asked = ["dpkg", "-S", *paths, *(f"/usr{path}" for path in paths)]
    owners = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
    found = set()
    for path in paths:
        of_path = [owner.split(":")[0] for owner in owners if owner.endswith(path)]
        found.update(of_path[:1])
    return sorted(found)
