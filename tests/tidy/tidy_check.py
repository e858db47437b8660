#!/usr/bin/env python3
"""Reads the repository and reports breaches of its own rules. They are the arrows between layers,
the places where MuJoCo and LibTorch may be included, and banned names with their replacements. Also
machine paths, dependency lists, links of the documents, and pages that comments cite.

Usage: tidy_check.py [--self-test] ROOT
  --self-test   plant one violation of each rule in a scratch folder and check that each is found

Standard library only. Prints FILE:LINE: MESSAGE for each finding; exit status 1 when there is one.
"""

import os
import pathlib
import re
import sys
import tempfile
import unicodedata

SKIPPED_FOLDERS = re.compile(r"^(build.*|runs|__pycache__|\.git|\.deps|\.cache)$")
TEXT_ENDINGS = {
    ".h",
    ".cc",
    ".cuh",
    ".cu",
    ".cmake",
    ".txt",
    ".md",
    ".proto",
    ".py",
    ".sbatch",
    ".sh",
    ".json",
    ".yaml",
    ".yml",
    ".txtpb",
    ".svg",
    ".html",
    ".css",
    "",
}
CPP = (".h", ".cc", ".cuh", ".cu")
CODE_ROOTS = (
    "common",
    "envs",
    "actor",
    "kernels",
    "agents",
    "signals",
    "methods",
    "shards",
    "learner",
    "meta_learner",
    "cli",
    "tests",
)

# Layers and their arrows stand in the CMakeLists.txt files: mentor_layer(NAME .. FOLDER ..
# SUBFOLDERS .. DEPS ..).
LAYER = re.compile(r"^mentor_layer\(NAME (\w+)\s+FOLDER ([^\s)]+)\s*([^)]*)\)", re.MULTILINE)
BINARY = re.compile(r"^mentor_binary\(NAME \S+ SRCS (\S+) DEPS ([^)]*)\)", re.MULTILINE)
# Test groups. set(test_folders_GROUP folder folder) names folders whose tests share a binary,
# set(test_layers_GROUP layer layer) its layers. set(test_groups_KIND GROUP) names kinds whose tests
# all share one.
TEST_GROUP = re.compile(r"^set\(test_(folders|layers|groups)_(\w+) ([^)]*)\)", re.MULTILINE)
# tests/KIND/FOLDER/c_test.cc tests FOLDER/c.cc.
MIRRORED = re.compile(r"tests/\w+/(.+/)\w+_test\.cc$")
# Only files and tests of this target may include MuJoCo.
MUJOCO_LAYER = "envs"

# (pattern, the reason and the replacement, files where it is right)
BANNED = [
    (r"#include <format>", "g++ 12 has none: use absl/strings/str_format.h", ()),
    (
        r"std::(random_device|mt19937(_64)?|default_random_engine|minstd_rand0?"
        r"|normal_distribution|uniform_(int|real)_distribution"
        r"|shuffle)\b|\bs?rand\(\)",
        "random numbers have a key and no history: use common/rng.h",
        (
            "common/rpc/channel.cc",  # Spreads reconnections; no result depends on it.
            "envs/benchmarks/metaworld_benchmark.cc",  # This defines Meta-World's goals.
        ),
    ),
    (
        r"absl/hash|absl::Hash\b|std::hash<",
        "salted or up to the library: use common/hash.h for what is stored or sent",
        (),
    ),
    (r"absl/log/", "Debian's Abseil has none: use common/log.h", ()),
    (
        r"#include <catch2/",
        "macros of LibTorch and Catch2 clash: include tests/testing.h or tests/torch_testing.h",
        ("tests/testing.h", "tests/catch_main.cc"),
    ),
    (
        r"\b(std::this_thread::sleep_(for|until)|usleep|nanosleep)\s*\(",
        "nothing polls: wait on a condition with a deadline",
        (
            "common/failpoint.cc",  # The purpose of this failpoint is to wait.
            "tests/bench/lifetime.cc",  # These look at a store from outside, as a user would.
            "tests/learning/methods/black_box/point_reach_test.cc",
        ),
    ),
    (
        r"-ffast-math|-march=native|-Ofast",
        "other machines, other bits: keep the flags of cmake/MentorTargets.cmake",
        (),
    ),
    (
        r"\bstd::(mutex|lock_guard|unique_lock|scoped_lock|condition_variable)\b",
        "clang cannot see what it guards: use common/mutex.h",
        ("common/mutex.h",),
    ),
    (r"\bTODO\b(?!\(#\d+\))", "a TODO names its issue: TODO(#12)", ()),
]
TORCH_UMBRELLA = re.compile(r"#include <torch/torch\.h>")
MACHINE_PATH = re.compile(r"(?<![\w.$}*])/(home|root|work|Users|mnt|srv)/\w")
REGISTRY_HOST = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|deb\.debian\.org|security\.debian\.org"
    r"|ghcr\.io|gcr\.io|quay\.io"
    r"|[\w-]+\.docker\.io|docker\.io(?=/)"  # docker.io alone is Debian's package.
    r"|registry\.npmjs\.org|crates\.io|proxy\.golang\.org"
    r"|conda\.anaconda\.org|download\.pytorch\.org)\b"
)
# The name of a function in an unnamed namespace.
FREE_FUNCTION = re.compile(r"(?!return\b|using\b)[A-Za-z_][\w:<>,&*\[\] ]*[ *&>](\w+)\(")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Tree:
    """The text files below a folder, and the findings in them."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.findings = []
        self.anchors = {}  # Anchors of pages, by name.
        self.files = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not SKIPPED_FOLDERS.match(name))
            for name in sorted(names):
                path = pathlib.Path(folder, name)
                if name != ".git" and path.suffix in TEXT_ENDINGS and not path.is_symlink():
                    self.files.append(path.relative_to(self.root).as_posix())

    def lines(self, name):
        return (self.root / name).read_text(encoding="utf-8", errors="replace").splitlines()

    def text(self, name):
        return "\n".join(self.lines(name))

    def find(self, name, line, message):
        self.findings.append((name, line, message))

    def code(self, *endings):
        return [
            name
            for name in self.files
            if name.split("/")[0] in CODE_ROOTS and name.endswith(endings)
        ]


class Layers:
    """Folders, targets and arrows as the CMakeLists.txt files have them."""

    def __init__(self, tree):
        self.folders = {}  # Folder: (layer, place among the folders of its layer).
        self.peers = set()  # Folders that never include each other.
        self.deps = {}  # Layer: names after DEPS.
        self.tests = {"folders": {}, "layers": {}, "groups": {}}  # What TEST_GROUP finds.
        self.mains = {}  # main.cc: layers that its program names.
        for name in tree.files:
            if not name.endswith("CMakeLists.txt"):
                continue
            text = tree.text(name)
            for layer, folder, rest in LAYER.findall(text):
                lists = {
                    "SUBFOLDERS": [],
                    "PEERS": [],
                    "SRCS": [],
                    "DEPS": [],
                }
                current = None
                for word in rest.split():
                    if word in lists:
                        current = word
                    elif current:
                        lists[current].append(word)
                self.deps[layer] = lists["DEPS"]
                subfolders = ["", *lists["SUBFOLDERS"], *lists["PEERS"]]
                for place, subfolder in enumerate(subfolders):
                    self.folders[f"{folder}/{subfolder}".rstrip("/")] = (layer, place)
                self.peers.update(f"{folder}/{peer}" for peer in lists["PEERS"])
            for source, deps in BINARY.findall(text):
                self.mains[f"{name.removesuffix('CMakeLists.txt')}{source}"] = deps.split()
            for what, group, words in TEST_GROUP.findall(text):
                self.tests[what][group] = words.split()

    def of(self, name):
        """(layer, place) of a source file or of an include; (None, 0) for tests and for what is no
        layer."""
        return self.folders.get(name.rpartition("/")[0], (None, 0))

    def are_peers(self, name, included):
        """Whether the two files are of two folders that must not include each other."""
        folders = {name.rpartition("/")[0], included.rpartition("/")[0]}
        return len(folders) == 2 and folders <= self.peers

    def below(self, layer):
        """The layer and all layers under it."""
        found, waiting = set(), [layer]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += [dep for dep in self.deps.get(one, []) if dep in self.deps]
        return found

    def has_torch(self, layer):
        return any("mentor::torch" in self.deps.get(one, []) for one in self.below(layer))

    def allowed_for(self, name):
        """Layers that a file may include; None: anything."""
        if name in self.mains:
            return set().union(*(self.below(one) for one in self.mains[name]))
        layer, _ = self.of(name)
        if layer is not None:
            return self.below(layer)
        group = self.test_group(name)
        if group is None:
            return None
        return set().union(*(self.below(one) for one in self.tests["layers"].get(group, [group])))

    def test_group(self, name):
        """The group of the binary that a file of the tests belongs to, or None."""
        tests, kind, folder = [*name.rpartition("/")[0].split("/", 2), "", ""][:3]
        if tests != "tests":
            return None
        if kind in self.tests["groups"]:
            return self.tests["groups"][kind][0]
        found = [
            (len(prefix), group)
            for group, prefixes in self.tests["folders"].items()
            for prefix in prefixes
            if f"{folder}/".startswith(f"{prefix}/")
        ]
        return max(found)[1] if found else None


def check_arrows(tree):
    layers = Layers(tree)
    for name in tree.code(*CPP):
        layer, place = layers.of(name)
        if layer is None and not name.startswith("tests/"):
            tree.find(
                name,
                1,
                "this folder is no layer: give it a mentor_layer(NAME .. FOLDER ..) or name it "
                "under SUBFOLDERS",
            )
        mirrored = MIRRORED.match(name)
        if mirrored and not any(other.startswith(mirrored[1]) for other in tree.files):
            tree.find(name, 1, f"mirrors no folder: there is no {mirrored[1]} among the sources")
        allowed = layers.allowed_for(name)
        if allowed is None:
            continue
        for number, line in enumerate(tree.lines(name), 1):
            match = INCLUDE.match(line)
            if (
                not match
                or match[1] != '"'
                or match[2].startswith(("mentor/v1/", "google/", "tests/"))
            ):
                continue
            target, target_place = layers.of(match[2])
            if target is None:
                tree.find(
                    name,
                    number,
                    f'"{match[2]}" is in no layer: write the path from the root of the repository',
                )
            elif target not in allowed:
                tree.find(
                    name,
                    number,
                    f'"{match[2]}" ({target}) is against the arrows; this file may include: '
                    + ", ".join(sorted(allowed)),
                )
            elif layers.are_peers(name, match[2]):
                tree.find(
                    name,
                    number,
                    f'"{match[2]}" is of another folder under PEERS: what both need belongs below',
                )
            elif target == layer and target_place > place:
                tree.find(
                    name,
                    number,
                    f'"{match[2]}" is against the arrows: its folder comes later among the folders '
                    "of "
                    f"{layer}",
                )


def check_together(tree):
    """Files of a layer are compiled together. Functions of one name in one namespace become
    overloads then, and the better fit is called. A new file changes which ones are together."""
    layers, known = Layers(tree), {}
    for name in tree.code(".cc"):
        layer, _ = layers.of(name)
        if layer is None:
            continue
        space = hidden = ""
        for number, line in enumerate(tree.lines(name), 1):
            if line.startswith("namespace mentor"):
                space = line
            elif line.startswith(("namespace ", "}  // namespace")):
                hidden = line
            place = layer, space + hidden, (FREE_FUNCTION.match(line) or [""] * 2)[1]
            if hidden == "namespace {" and place[2] and known.setdefault(place, name) != name:
                tree.find(
                    name,
                    number,
                    f"{place[2]} is a function of {known[place]}, too, which is compiled "
                    "together with this file: rename one",
                )


# Other than a block of forward declarations.
NAMESPACE = re.compile(
    r"^namespace mentor::(\w+).*\{\n(?!(?:(?:class|struct) \w+;\n)+\})", re.MULTILINE
)


def check_namespaces(tree):
    """A namespace has the name of a folder on the way to the file, or begins the file's name."""
    for name in tree.files:
        if not name.endswith(CPP) or not name.startswith(CODE_ROOTS) or name.startswith("tests/"):
            continue
        *folders, file = name.split("/")
        for found in NAMESPACE.finditer(tree.text(name)):
            if found[1] not in folders and not file.startswith(found[1]):
                line = tree.text(name).count("\n", 0, found.start()) + 1
                tree.find(name, line, f"namespace mentor::{found[1]} is not that of its folder")


def check_third_parties(tree):
    layers = Layers(tree)
    for name in tree.code(*CPP):
        layer, _ = layers.of(name)
        for number, line in enumerate(tree.lines(name), 1):
            match = INCLUDE.match(line)
            if not match or match[1] != "<":
                continue
            if (
                match[2].startswith("mujoco/")
                and layer != MUJOCO_LAYER
                and not re.match(r"tests/\w+/envs/", name)
            ):
                tree.find(
                    name, number, "MuJoCo is included in envs/ and its tests, and nowhere else"
                )
            if (
                match[2].startswith(("torch/", "ATen/", "c10/"))
                and layer is not None
                and not layers.has_torch(layer)
            ):
                tree.find(
                    name, number, f"{layer} has no LibTorch: what actors link must stay small"
                )
            if (
                TORCH_UMBRELLA.search(line)
                and name.endswith((".h", ".cuh"))
                and name != "tests/torch_testing.h"
            ):
                tree.find(
                    name,
                    number,
                    "torch/torch.h costs every includer half a minute: use torch/types.h",
                )


def check_headers(tree):
    for name in tree.code(".h", ".cuh"):
        lines = tree.lines(name)
        if not lines or not lines[0].startswith("//"):
            tree.find(
                name,
                1,
                "a header begins with a comment: what it is, who owns it, whether threads may "
                "share it",
            )
        directives = [line.strip() for line in lines if line.lstrip().startswith("#")]
        if not directives or directives[0] != "#pragma once":
            tree.find(name, 1, "the first directive of a header is #pragma once")


def check_banned(tree):
    own = "tests/tidy/tidy_check.py"
    for name in tree.code(*CPP) + [
        n for n in tree.files if n.endswith((".cmake", "CMakeLists.txt", ".py"))
    ]:
        if name == own:
            continue
        for number, line in enumerate(tree.lines(name), 1):
            for pattern, reason, exceptions in BANNED:
                if name not in exceptions and re.search(pattern, line):
                    tree.find(name, number, f"'{re.search(pattern, line)[0]}': {reason}")


def check_places(tree):
    own = "tests/tidy/tidy_check.py"
    for name in tree.files:
        if name == own:
            continue
        for number, line in enumerate(tree.lines(name), 1):
            if MACHINE_PATH.search(line):
                tree.find(
                    name, number, f"'{MACHINE_PATH.search(line)[0]}...' is a path of one machine"
                )
            if REGISTRY_HOST.search(line):
                tree.find(
                    name,
                    number,
                    f"'{REGISTRY_HOST.search(line)[0]}' names a registry's host; tools know their "
                    "own",
                )


def check_protos(tree):
    """Every message, enum, service, rpc, field and value has a comment above it or at its end."""
    declaration = re.compile(
        r"^\s*(message|enum|service|rpc|oneof)\s+\w+|^\s*(optional |repeated |required )?[\w.]+ "
        r"\w+ = \d+"
        r"|^\s*[A-Z][A-Z0-9_]* = \d+"
    )
    for name in tree.files:
        if not name.endswith(".proto") or name.startswith("proto/google/"):
            continue
        lines = tree.lines(name)
        for number, line in enumerate(lines, 1):
            if not declaration.match(line) or line.lstrip().startswith("option "):
                continue
            if not lines[number - 2].lstrip().startswith("//") and "//" not in line:
                tree.find(name, number, "no comment says what this is")


def check_dependency_lists(tree):
    lists = [name for name in tree.files if re.match(r"deploy/requirements/[\w-]+\.txt$", name)]
    script = tree.text("deploy/install.sh") if "deploy/install.sh" in tree.files else ""
    for name in lists:
        stem = re.sub(r"^(apt-)?([\w-]+)\.txt$", r"\2", name.rpartition("/")[2])
        if not re.search(rf"(--|\b){stem}\b", script):
            tree.find(name, 1, "deploy/install.sh does not read this list")
        if not name.startswith("deploy/requirements/apt"):
            joined = re.sub(r"\\\n\s*", " ", tree.text(name))
            for line in joined.splitlines():
                if (
                    line
                    and not line.startswith(("#", "--"))
                    and not re.match(
                        r"[\w.-]+(\[[\w,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line
                    )
                ):
                    tree.find(name, 1, f"'{line.split()[0]}' has no exact version with a hash")
                # The lean list of the packages is for Python 3.10 to 3.13, a wheel each.
                if (
                    name == "deploy/requirements/wheels.txt"
                    and line.startswith(("torch==", "mujoco=="))
                    and line.count("--hash=") != 4
                ):
                    tree.find(name, 1, f"'{line.split()[0]}' has not four hashes")
    for option in re.findall(r"^#   --([a-z]+) ", script, re.M):
        if not any(re.search(rf"/(apt-)?{option}\.txt$", name) for name in lists):
            if f'"$option" = {option}' not in script:  # A name of its own for another's list.
                tree.find("deploy/install.sh", 1, f"--{option} has no list")


def check_scripts(tree):
    for name in tree.files:
        lines = tree.lines(name)
        if not lines or lines[0] != "#!/usr/bin/env bash":
            if name.endswith(".sh"):
                tree.find(name, 1, "a script begins with #!/usr/bin/env bash")
            continue
        if "set -euo pipefail" not in lines:
            tree.find(name, 1, "a script sets -euo pipefail")
        if not os.access(tree.root / name, os.X_OK):
            tree.find(name, 1, "a script is executable")


def anchors(tree, name):
    """The fragments that links to a page can have: headings as GitHub names them, and <a id="">."""
    if name not in tree.anchors:
        found, seen, fenced = set(), {}, False
        for line in tree.lines(name):
            if line.lstrip().startswith("```"):
                fenced = not fenced
            found.update(re.findall(r'<a id="([^"]+)">', line))
            heading = re.match(r"#{1,6} (.+?)\s*#*$", line)
            if fenced or not heading:
                continue
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "").lower()
            slug = "".join(
                c
                for c in title
                if c in "- "
                or unicodedata.category(c)[0] in "LM"
                or unicodedata.category(c) in ("Nd", "Pc")
            ).replace(" ", "-")
            found.add(slug if slug not in seen else f"{slug}-{seen[slug]}")
            seen[slug] = seen.get(slug, 0) + 1
        tree.anchors[name] = found
    return tree.anchors[name]


def check_links(tree):
    """Relative links and code paths of the documents lead somewhere, and so do their fragments."""
    link = re.compile(r"\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"|srcset=\"([^\"]+)\"")
    for name in tree.files:
        if not name.endswith(".md"):
            continue
        for number, line in enumerate(tree.lines(name), 1):
            for groups in link.findall(line):
                target, _, fragment = next(group for group in groups if group).partition("#")
                if re.match(r"[a-z]+:", target):
                    continue
                page = (
                    os.path.normpath(os.path.join(os.path.dirname(name), target))
                    if target
                    else name
                )
                if not (tree.root / page).exists():
                    tree.find(name, number, f"the link to {target} leads nowhere")
                elif fragment and page.endswith(".md") and fragment not in anchors(tree, page):
                    tree.find(name, number, f"{page} has no '#{fragment}'")


def check_citations(tree):
    """Comments cite pages, headings and readings that exist: docs/PAGE.md#ANCHOR."""
    comment = {
        ".h": "//",
        ".cc": "//",
        ".cuh": "//",
        ".cu": "//",
        ".proto": "//",
        ".py": "#",
        ".sbatch": "#",
        ".sh": "#",
        ".cmake": "#",
        ".txtpb": "#",
        ".txt": "#",
        ".yaml": "#",
        ".yml": "#",
    }
    page = re.compile(r"(?<![\w./-])((?:[\w.-]+/)*[\w-]+\.md)(?:#([\w-]+))?")
    loose = re.compile(
        r"\.md[,:]? (?:sections?|reading) |\b[Rr]eading [A-Z]{1,2}\d|\((?:sections?|trap) \d"
    )
    for name in tree.files:
        ending = pathlib.PurePosixPath(name).suffix
        if (
            ending not in comment
            or name == "tests/tidy/tidy_check.py"
            or name.startswith(("proto/google/", "tests/fuzz/corpus/"))
        ):
            continue
        for number, line in enumerate(tree.lines(name), 1):
            begin = line.find(comment[ending])
            for match in page.finditer(line):
                cited, fragment = match[1], match[2]
                # In code a bare name is some file; a path into docs/ is a citation everywhere.
                if not cited.startswith("docs/") and (
                    begin < 0 or match.start() < begin or re.match(r"[A-Z]+/", cited)
                ):
                    continue
                if not (tree.root / cited).is_file():
                    tree.find(
                        name,
                        number,
                        f"cites {cited}, which is not there: write its path from the root",
                    )
                elif fragment and fragment not in anchors(tree, cited):
                    tree.find(
                        name,
                        number,
                        f"cites {cited}#{fragment}: the page has no such heading or reading",
                    )
            if begin >= 0 and loose.search(line, begin):
                tree.find(
                    name,
                    number,
                    f"'{loose.search(line, begin)[0].strip()}': cite a heading or reading by its "
                    "anchor, docs/PAGE.md#ANCHOR",
                )


def check_examples(tree):
    """C++ in the documents is an excerpt of an example that a test builds."""
    examples = "\n\n".join(
        tree.text(name) for name in tree.files if name.startswith("docs/examples/")
    )
    for name in tree.files:
        if not name.endswith(".md"):
            continue
        for match in re.finditer(r"```cpp\n(.*?)\n```", tree.text(name), re.DOTALL):
            if match[1] not in examples:
                tree.find(
                    name,
                    tree.text(name)[: match.start()].count("\n") + 1,
                    "this C++ is no excerpt of docs/examples/, so nothing keeps it true",
                )


COLUMNS = 100
LIMITED = re.compile(
    r"\.(h|cc|proto|py|sh|cmake|md|txtpb)$|(^|/)(CMakeLists\.txt|Dockerfile)$|^\.ci/"
)


def check_line_lengths(tree):
    """Lines of 100 columns; of documents only prose, without what a link, URL or comment takes."""
    for name in tree.files:
        # Cards of the zoo are what `mentor export` writes.
        if not LIMITED.search(name) or name.startswith(("proto/google/", "zoo/")):
            continue
        fenced = False
        for number, line in enumerate(tree.lines(name), 1):
            if name.endswith(".md"):
                fenced ^= line.lstrip().startswith("```")
                if fenced or line.startswith(("|", "    ", "![", "<!--")):
                    continue
                line = re.sub(r"(?<=\]\()[^)]*", "", line)
            if len(re.sub(r"https?://\S+", "", line)) > COLUMNS:
                tree.find(
                    name, number, f"{len(line)} columns, {COLUMNS} is the limit: break the line"
                )


# Where the version is written besides CMakeLists.txt; the last group is the version.
VERSIONS = [
    (r"^deploy/helm/.*\.yaml$", r"\b(image: |\")mentor-[\w-]+:(\d[\w.]*)"),
    (r"^deploy/helm/mentor/Chart\.yaml$", r"^(version: |appVersion: \")(\d[\w.]*)"),
    (r"^deploy/compose/.*\.yaml$", r"(MENTOR_VERSION:-|\(mentor, )(\d[\w.]*\d)"),
    (r"^deploy/docker/(hosts/)?Dockerfile$", r"^(ARG VERSION=)(\S+)"),
    (r"^python/mentor_client/__init__\.py$", r"^(__version__ = \")([^\"]+)"),
    (r"^docs/[\w/]+\.md$", r"\b(mentor-[a-z-]+:)(\d+\.[\w.]*\w)"),
    (r"^(README\.md|CITATION\.cff)$", r"^.*\b(version(?: = \{|: ))(\d[\w.]*)"),
]


def check_version(tree):
    """project(VERSION) of CMakeLists.txt is the version; programs get it from there, others repeat
    it."""
    if "CMakeLists.txt" not in tree.files:
        return
    version = re.search(r"^project\(mentor VERSION (\S+)", tree.text("CMakeLists.txt"), re.M)
    if not version:
        return tree.find("CMakeLists.txt", 1, "project(mentor VERSION ...) is missing")
    version = version[1]
    for name in tree.files:
        for place, pattern in VERSIONS:
            if not re.search(place, name):
                continue
            for number, line in enumerate(tree.lines(name), 1):
                for found in re.findall(pattern, line):
                    if found[-1] != version:
                        tree.find(
                            name, number, f"version {found[-1]}, but CMakeLists.txt says {version}"
                        )
    if "CHANGELOG.md" in tree.files:
        text = tree.text("CHANGELOG.md")
        newest = (re.findall(r"^## \[(\d[^\]]*)\]", text, re.M) or ["none"])[0]
        changed = re.search(r"^## \[Unreleased\]\n(?:(?!## ).*\n)*?- ", text, re.M)
        numbers = lambda name: [int(part) for part in re.findall(r"\d+", name)]
        # What is under way is no release yet: another one can tell it apart.
        right = numbers(version) > numbers(newest) if changed else version == newest
        if not right:
            tree.find(
                "CHANGELOG.md",
                1,
                f"the newest release is {newest}, {'with' if changed else 'without'} changes under "
                f"Unreleased, but CMakeLists.txt says {version}",
            )


CHECKS = [
    check_line_lengths,
    check_version,
    check_arrows,
    check_together,
    check_namespaces,
    check_third_parties,
    check_headers,
    check_banned,
    check_places,
    check_protos,
    check_dependency_lists,
    check_scripts,
    check_links,
    check_citations,
    check_examples,
]


def check(root):
    tree = Tree(root)
    for one in CHECKS:
        one(tree)
    return tree


GOOD_HEADER = "// What it is.\n#pragma once\n"
# File, its text, and a part of the message that must come. An empty part: nothing may be found in
# that file.
PLANTED = [
    (
        "CMakeLists.txt",
        "project(mentor VERSION 1.2.3 LANGUAGES CXX)\n"
        "mentor_layer(NAME common FOLDER common)\n"
        "mentor_layer(NAME rpc FOLDER common/rpc DEPS common)\n"
        "mentor_layer(NAME envs FOLDER envs SUBFOLDERS small big DEPS common mentor::mujoco)\n"
        "mentor_layer(NAME actor FOLDER actor DEPS rpc envs)\n"
        "mentor_layer(NAME agents FOLDER agents DEPS common mentor::torch)\n"
        "mentor_layer(NAME rollout FOLDER learner/rollout\n  DEPS rpc)\n"
        "mentor_layer(NAME learner FOLDER learner DEPS agents rollout)\n"
        "mentor_layer(NAME rules FOLDER methods SUBFOLDERS base one PEERS two three DEPS agents)\n"
        "mentor_layer(NAME meta_learner FOLDER meta_learner DEPS rules learner envs)\n"
        "mentor_layer(NAME ctl FOLDER cli/ctl DEPS common)\n"
        "mentor_layer(NAME cli FOLDER cli DEPS ctl meta_learner actor)\n"
        "set(test_folders_border actor)\nset(test_layers_border actor rollout)\n"
        "set(test_folders_envs envs)\nset(test_folders_high actor/high)\n"
        "set(test_layers_high envs)\nset(test_groups_fuzz cli)\n",
        "",
    ),
    ("common/rpc/below.h", GOOD_HEADER + '#include "common/a.h"\n', ""),
    ("common/above.cc", '#include "common/rpc/below.h"\n', "against the arrows"),
    ("common/above.cu", '#include "common/rpc/below.h"\n', "against the arrows"),
    ("common/h.cuh", "#pragma once\n", "begins with a comment"),
    ("envs/small/early.cc", '#include "envs/big/late.h"\n', "comes later"),
    ("envs/big/late.h", GOOD_HEADER + '#include "envs/small/early.h"\n', ""),
    ("envs/new/nowhere.cc", "int x;\n", "this folder is no layer"),
    ("common/a.h", GOOD_HEADER + '#include "envs/b.h"\n', "against the arrows"),
    ("actor/a.cc", '#include "learner/rollout/unit_dispatcher.h"\n', "against the arrows"),
    ("envs/b.cc", "#include <torch/types.h>\n", "has no LibTorch"),
    ("learner/rollout/unit_dispatcher.cc", "#include <ATen/ATen.h>\n", "has no LibTorch"),
    ("agents/c.cc", '#include "learner/learner.h"\n', "against the arrows"),
    ("learner/d.cc", '#include "envs/environment.h"\n', "against the arrows"),
    ("meta_learner/e.cc", "#include <mujoco/mujoco.h>\n", "and nowhere else"),
    ("cli/ctl/client.cc", '#include "meta_learner/store.h"\n', "against the arrows"),
    ("methods/two/peer.cc", '#include "methods/three/peer.h"\n', "under PEERS"),
    ("methods/three/peer.h", GOOD_HEADER + '#include "methods/one/a.h"\n', ""),
    ("methods/f.cc", '#include "meta_learner/store.h"\n', "against the arrows"),
    ("tests/unit/actor/g_test.cc", '#include "learner/learner.h"\n', "against the arrows"),
    ("tests/unit/actor/high/a_test.cc", '#include "actor/actor.h"\n', "against the arrows"),
    ("tests/unit/away/a_test.cc", "int x;\n", "mirrors no folder"),
    ("tests/fuzz/a_test.cc", '#include "learner/learner.h"\n', ""),
    ("common/h.h", "#pragma once\n", "begins with a comment"),
    ("common/i.h", "// What it is.\n#include <string>\n#pragma once\n", "#pragma once"),
    ("learner/j.h", GOOD_HEADER + "#include <torch/torch.h>\n", "torch/types.h"),
    ("envs/k.cc", "std::mt19937 generator;\n", "common/rng.h"),
    ("envs/l.cc", "#include <format>\n", "str_format"),
    ("tests/unit/envs/m_test.cc", "#include <catch2/catch.hpp>\n", "tests/testing.h"),
    ("actor/once.cc", "namespace {\nint Sum(int a) {\n}\n}  // namespace\n", ""),
    ("actor/twice.cc", "namespace {\ndouble Sum(double a) {\n}\n}  // namespace\n", "rename one"),
    ("actor/name.cc", "namespace mentor::learner {\nint a;\n}\n", "not that of its folder"),
    ("actor/names.cc", "namespace mentor::envs {\nclass A;\n}\nnamespace mentor::actor {\n", ""),
    ("actor/n.cc", "std::this_thread::sleep_for(1s);\n", "deadline"),
    ("actor/mutex.cc", "std::mutex mutex_;\n", "common/mutex.h"),
    ("actor/o.cc", "// TODO: later\n", "names its issue"),
    ("cmake/p.cmake", "add_compile_options(-march=native)\n", "MentorTargets"),
    ("docs/q.md", "See /" + "home/me/x.\n", "path of one machine"),
    ("docs/r.md", "From https://py" + "pi.org/x\n", "registry"),
    ("docs/s.md", "[there](nowhere.md)\n", "leads nowhere"),
    ("docs/w.md", "```cpp\nint gone;\n```\n", "no excerpt"),
    ("docs/examples/x.cc", "int x;\nint y;\n", ""),
    ("docs/y.md", "[there](q.md#gone)\n", "has no '#gone'"),
    ("docs/z.md", "# Z\n\n## One two\n\n[Here](#one-two).\n", ""),
    ("actor/cited.cc", "// docs/gone.md\n", "cites docs/gone.md, which is not there"),
    ("actor/cited.h", GOOD_HEADER + "// Eq. 3 (docs/z.md#three).\n", "no such heading or reading"),
    ("experiments/cited.txtpb", "# As in bare.md.\n", "path from the root"),
    ("proto/mentor/v1/cited.proto", "// A (z.md section 2).\nmessage A {}\n", "by its anchor"),
    ("common/cited.cc", "// So it is (reading B16).\n", "by its anchor"),
    ("tests/cited.py", "PAGE = 'docs/gone.md'\n", "which is not there"),
    (
        "actor/good_cited.cc",
        '// docs/z.md#one-two; FOLDER/out.md is written.\nconst char* a = "tables.md";\n',
        "",
    ),
    ("docs/good.md", "[here](q.md)\n```cpp\nint y;\n```\n", ""),
    ("proto/mentor/v1/t.proto", "// A.\nmessage A {\n  int32 b = 1;\n}\n", "no comment"),
    ("deploy/requirements/x.txt", "torch==2.11.0\n", "does not read this list"),
    ("deploy/requirements/wheels.txt", "torch==2.11.0\n", "has not four hashes"),
    ("deploy/requirements/nvcc.txt", "nvidia==2.11.0\n", "no exact version with a hash"),
    (
        "deploy/install.sh",
        "#!/usr/bin/env bash\n#   --nvcc   also\n#   --gone   also\nset -euo pipefail\n"
        "install_wheels wheels\n",
        "--gone has no list",
    ),
    ("deploy/u.sh", "#!/usr/bin/env bash\necho\n", "-euo pipefail"),
    ("deploy/v.sh", "#!/bin/sh\n", "begins with"),
    ("envs/wide.cc", "// " + "word " * 20 + "\n", "100 is the limit"),
    ("docs/wide.md", "word " * 21 + "\n", "100 is the limit"),
    (
        "docs/narrow.md",
        f"| {'word ' * 30}|\n```\n{'word ' * 30}\n```\n\n    {'word ' * 30}\n\n"
        f"See https://a.b/{'x' * 90} too.\n",
        "",
    ),
    (
        "CHANGELOG.md",
        "## [Unreleased]\n\n### Added\n\n- A.\n\n## [1.2.3] - 2020-01-01\n",
        "newest release is 1.2.3, with changes",
    ),
    ("deploy/docker/Dockerfile", "ARG VERSION=1.2.2\n", "CMakeLists.txt says 1.2.3"),
    ("deploy/docker/hosts/Dockerfile", "ARG VERSION=1.2.2\n", "CMakeLists.txt says 1.2.3"),
    ("deploy/helm/mentor/values.yaml", "image: mentor-actor:1.2.2\n", "CMakeLists.txt says 1.2.3"),
    ("deploy/helm/mentor/Chart.yaml", "version: 1.2.2\n", "CMakeLists.txt says 1.2.3"),
    ("deploy/helm/b.yaml", "image: mentor-actor:1.2.3\n", ""),
    (
        "deploy/compose/c.yaml",
        "image: ${X:-mentor}-actor:${MENTOR_VERSION:-1.2}\n",
        "CMakeLists.txt says 1.2.3",
    ),
    (
        "python/mentor_client/__init__.py",
        '__version__ = "1.2.2"\n',
        "CMakeLists.txt says 1.2.3",
    ),
    (
        "meta_learner/good.cc",
        '#include "envs/benchmark.h"\n#include "agents/ppo.h"\n'
        '#include "methods/base/outer_rule.h"\n'
        '#include "mentor/v1/spec.pb.h"\n#include <torch/types.h>\n',
        "",
    ),
    ("envs/good.h", GOOD_HEADER + '#include <mujoco/mujoco.h>\n#include "common/rng.h"\n', ""),
    ("cli/good.cc", '#include "actor/actor.h"\n#include "meta_learner/store.h"\n', ""),
    (
        "tests/unit/actor/good_test.cc",
        '#include "actor/actor.h"\n#include "learner/rollout/rollout_server.h"\n'
        '#include "tests/testing.h"\n',
        "",
    ),
]


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        for name, text, _ in PLANTED:
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        findings = check(folder).findings
        for name, _, expected in PLANTED:
            messages = [message for found, _, message in findings if found == name]
            if expected and not any(expected in message for message in messages):
                failures.append(f"{name}: nothing found with '{expected}', only {messages}")
            if not expected and messages:
                failures.append(f"{name}: good, yet found: {messages}")
    for failure in failures:
        print(failure)
    print(f"self-test: {len(PLANTED)} files, {len(failures)} failures")
    return 1 if failures else 0


def main(arguments):
    if "--self-test" in arguments:
        return self_test()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    tree = check(arguments[0])
    for name, line, message in tree.findings:
        print(f"{name}:{line}: {message}")
    print(f"{len(tree.files)} files read, {len(tree.findings)} findings")
    return 1 if tree.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
