#!/usr/bin/env python3
"""Reads the repository and reports what breaks its own rules: the arrows between layers, where MuJoCo and LibTorch
may be included, banned names with their replacements, machine paths, dependency lists, links of the documents.

Usage: tidy_check.py [--self-test] ROOT
  --self-test   plant one violation of each rule in a scratch folder and check that each is found

Standard library only. Prints FILE:LINE: MESSAGE for each finding; exit status 1 when there is one.
"""

import os
import pathlib
import re
import sys
import tempfile

SKIPPED_FOLDERS = re.compile(r"^(build.*|runs|__pycache__|\.git|\.deps|\.cache)$")
TEXT_ENDINGS = {".h", ".cc", ".cmake", ".txt", ".md", ".proto", ".py", ".sh", ".json", ".yaml", ".yml", ".txtpb", ".svg",
                ".html", ".css", ""}
CODE_ROOTS = ("common", "envs", "actor", "learner", "meta_learner", "mentor", "tests")

# What each layer may include besides the wire (mentor/v1, google/rpc) and itself.
ARROWS = {
    "common": [],
    "envs": ["common"],
    "render": ["common", "envs"],
    "actor": ["common", "envs"],
    "rollout": ["common"],
    "learner_math": ["common"],
    "learner": ["common", "learner_math", "rollout"],
    "rules": ["common", "learner_math"],
    "meta_learner": ["common", "envs", "learner_math", "rollout", "learner", "rules"],
    "mentorctl": ["common"],
    "local": ["common", "envs", "render", "actor", "learner_math", "rollout", "learner", "rules", "meta_learner",
              "mentorctl"],
}
# Layers that end in actors, or in tests and sanitizers that do without LibTorch.
WITHOUT_TORCH = {"common", "envs", "render", "actor", "rollout", "mentorctl"}
# Test folders that are no layer of their own: tests/<kind>/<name>/.
TEST_LAYERS = {"border": ["actor", "rollout"]}
ROLLOUT_STEMS = {"unit_dispatcher", "rollout_server"}

# (pattern, why and what instead, places where it is right)
BANNED = [
    (r"#include <format>", "g++ 12 has none: use absl/strings/str_format.h", ()),
    (r"std::(random_device|mt19937(_64)?|default_random_engine|minstd_rand0?|normal_distribution|uniform_(int|real)_distribution"
     r"|shuffle)\b|\bs?rand\(\)", "random numbers have a key and no history: use common/rng.h",
     ("common/rpc/channel.cc",                  # Spreads reconnections; nothing of a result depends on it.
      "envs/benchmarks/metaworld_goals.h")),    # Meta-World's goals are defined by this generator.
    (r"absl/hash|absl::Hash\b|std::hash<", "salted or up to the library: use common/hash.h for what is stored or sent", ()),
    (r"absl/log/", "Debian's Abseil has none: use common/log.h", ()),
    (r"#include <catch2/", "macros of LibTorch and Catch2 clash: include tests/testing.h or tests/torch_testing.h",
     ("tests/testing.h", "tests/catch_main.cc")),
    (r"\b(std::this_thread::sleep_(for|until)|usleep|nanosleep)\s*\(", "nothing polls: wait on a condition with a deadline",
     ("common/failpoint.cc",                    # The failpoint whose purpose is to wait.
      "mentor/bench/lifetime.cc",               # Look at a store from outside, as a user would.
      "tests/learning/local/point_reach_test.cc")),
    (r"-ffast-math|-march=native|-Ofast", "other machines, other bits: keep the flags of cmake/MentorTargets.cmake", ()),
    (r"\bTODO\b(?!\(#\d+\))", "a TODO names its issue: TODO(#12)", ()),
]
TORCH_UMBRELLA = re.compile(r"#include <torch/torch\.h>")
MACHINE_PATH = re.compile(r"(?<![\w.$}*])/(home|root|work|Users|mnt|srv)/\w")
REGISTRY_HOST = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|deb\.debian\.org|security\.debian\.org|ghcr\.io|gcr\.io|quay\.io"
    r"|[\w-]+\.docker\.io|docker\.io(?=/)"  # docker.io alone is Debian's package.
    r"|registry\.npmjs\.org|crates\.io|proxy\.golang\.org|conda\.anaconda\.org|download\.pytorch\.org)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Tree:
    """The text files below a folder, and what was found wrong in them."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.findings = []
        self.files = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not SKIPPED_FOLDERS.match(name))
            for name in sorted(names):
                path = pathlib.Path(folder, name)
                if path.suffix in TEXT_ENDINGS and not path.is_symlink():
                    self.files.append(path.relative_to(self.root).as_posix())

    def lines(self, name):
        return (self.root / name).read_text(encoding="utf-8", errors="replace").splitlines()

    def text(self, name):
        return "\n".join(self.lines(name))

    def find(self, name, line, message):
        self.findings.append((name, line, message))

    def code(self, *endings):
        return [name for name in self.files if name.split("/")[0] in CODE_ROOTS and name.endswith(endings)]


def layer_of(name):
    """The layer of a source file or of an include; None for tests and for what is no layer."""
    parts = name.split("/")
    stem = pathlib.PurePosixPath(name).stem
    if parts[0] == "mentor":
        return "local"
    if parts[:2] == ["envs", "render"]:
        return "render"
    if parts[0] == "learner":
        if parts[1] in ("agents", "signals", "inner_loops") or name == "learner/segment.h":
            return "learner_math"
        return "rollout" if stem in ROLLOUT_STEMS else "learner"
    if parts[0] == "meta_learner":
        if parts[1] == "rules":
            return "rules"
        return "mentorctl" if parts[1] == "mentorctl" else "meta_learner"
    return parts[0] if parts[0] in ARROWS else None


def allowed_for(name):
    """Layers that a file may include; None: anything."""
    layer = layer_of(name)
    if layer is not None:
        return {layer, *ARROWS[layer]}
    parts = name.split("/")
    if parts[0] == "tests" and len(parts) > 3:
        allowed = set()
        for own in TEST_LAYERS.get(parts[2], [parts[2]]):
            allowed |= {own, *ARROWS.get(own, [])}
        return allowed
    return None


def check_arrows(tree):
    for name in tree.code(".h", ".cc"):
        allowed = allowed_for(name)
        if allowed is None:
            continue
        for number, line in enumerate(tree.lines(name), 1):
            match = INCLUDE.match(line)
            if not match or match[1] != '"' or match[2].startswith(("mentor/v1/", "google/", "tests/")):
                continue
            target = layer_of(match[2])
            if target is None:
                tree.find(name, number, f'"{match[2]}" is in no layer: write the path from the root of the repository')
            elif target not in allowed:
                tree.find(name, number, f'"{match[2]}" ({target}) is against the arrows; this file may include: '
                                        + ", ".join(sorted(allowed)))


def check_third_parties(tree):
    for name in tree.code(".h", ".cc"):
        layer = layer_of(name)
        for number, line in enumerate(tree.lines(name), 1):
            match = INCLUDE.match(line)
            if not match or match[1] != "<":
                continue
            if match[2].startswith("mujoco/") and layer != "envs" and not re.match(r"tests/\w+/envs/", name):
                tree.find(name, number, "MuJoCo is included in envs/ and its tests, and nowhere else")
            if match[2].startswith(("torch/", "ATen/", "c10/")) and layer in WITHOUT_TORCH:
                tree.find(name, number, f"{layer} has no LibTorch: what actors link must stay small")
            if TORCH_UMBRELLA.search(line) and name.endswith(".h") and name != "tests/torch_testing.h":
                tree.find(name, number, "torch/torch.h costs every includer half a minute: use torch/types.h")


def check_headers(tree):
    for name in tree.code(".h"):
        lines = tree.lines(name)
        if not lines or not lines[0].startswith("//"):
            tree.find(name, 1, "a header begins with a comment: what it is, who owns it, whether threads may share it")
        directives = [line.strip() for line in lines if line.lstrip().startswith("#")]
        if not directives or directives[0] != "#pragma once":
            tree.find(name, 1, "the first directive of a header is #pragma once")


def check_banned(tree):
    own = "tests/tidy/tidy_check.py"
    for name in tree.code(".h", ".cc") + [n for n in tree.files if n.endswith((".cmake", "CMakeLists.txt", ".py"))]:
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
                tree.find(name, number, f"'{MACHINE_PATH.search(line)[0]}...' is a path of one machine")
            if REGISTRY_HOST.search(line):
                tree.find(name, number, f"'{REGISTRY_HOST.search(line)[0]}' names a registry's host; tools know their own")


def check_protos(tree):
    """Every message, enum, service, rpc, field and value has a comment above it or at its end."""
    declaration = re.compile(r"^\s*(message|enum|service|rpc|oneof)\s+\w+|^\s*(optional |repeated |required )?[\w.]+ \w+ = \d+"
                             r"|^\s*[A-Z][A-Z0-9_]* = \d+")
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
    lists = [name for name in tree.files if re.match(r"deploy/(apt|requirements)[\w-]*\.txt$", name)]
    script = tree.text("deploy/install.sh") if "deploy/install.sh" in tree.files else ""
    for name in lists:
        if name not in script:
            tree.find(name, 1, "deploy/install.sh does not read this list")
        if "requirements" in name:
            joined = re.sub(r"\\\n\s*", " ", tree.text(name))
            for line in joined.splitlines():
                if line and not line.startswith(("#", "--")) and not re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line):
                    tree.find(name, 1, f"'{line.split()[0]}' has no exact version with a hash")
    for mentioned in re.findall(r"deploy/(?:apt|requirements)[\w-]*\.txt", script):
        if mentioned not in lists:
            tree.find("deploy/install.sh", 1, f"reads {mentioned}, which is not there")


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


def check_links(tree):
    """Relative links and code paths of the documents lead somewhere."""
    link = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|<img[^>]* src=\"([^\"]+)\"|srcset=\"([^\"]+)\"")
    for name in tree.files:
        if not name.endswith(".md"):
            continue
        for number, line in enumerate(tree.lines(name), 1):
            for groups in link.findall(line):
                target = next(group for group in groups if group)
                if re.match(r"[a-z]+:", target):
                    continue
                if not (tree.root / name).parent.joinpath(target).exists():
                    tree.find(name, number, f"the link to {target} leads nowhere")


def check_examples(tree):
    """C++ in the documents is an excerpt of an example that a test builds."""
    examples = "\n\n".join(tree.text(name) for name in tree.files if name.startswith("docs/examples/"))
    for name in tree.files:
        if not name.endswith(".md"):
            continue
        for match in re.finditer(r"```cpp\n(.*?)\n```", tree.text(name), re.DOTALL):
            if match[1] not in examples:
                tree.find(name, tree.text(name)[:match.start()].count("\n") + 1,
                          "this C++ is no excerpt of docs/examples/, so nothing keeps it true")


CHECKS = [check_arrows, check_third_parties, check_headers, check_banned, check_places, check_protos,
          check_dependency_lists, check_scripts, check_links, check_examples]


def check(root):
    tree = Tree(root)
    for one in CHECKS:
        one(tree)
    return tree


GOOD_HEADER = "// What it is.\n#pragma once\n"
# File, its text, and a part of the message that must come. An empty part: nothing may be found in that file.
PLANTED = [
    ("common/a.h", GOOD_HEADER + '#include "envs/b.h"\n', "against the arrows"),
    ("actor/a.cc", '#include "learner/unit_dispatcher.h"\n', "against the arrows"),
    ("envs/b.cc", "#include <torch/types.h>\n", "has no LibTorch"),
    ("learner/unit_dispatcher.cc", "#include <ATen/ATen.h>\n", "has no LibTorch"),
    ("learner/agents/c.cc", '#include "learner/learner.h"\n', "against the arrows"),
    ("learner/d.cc", '#include "envs/environment.h"\n', "against the arrows"),
    ("meta_learner/e.cc", "#include <mujoco/mujoco.h>\n", "and nowhere else"),
    ("meta_learner/mentorctl/client.cc", '#include "meta_learner/store.h"\n', "against the arrows"),
    ("meta_learner/rules/f.cc", '#include "meta_learner/store.h"\n', "against the arrows"),
    ("tests/unit/actor/g_test.cc", '#include "learner/learner.h"\n', "against the arrows"),
    ("common/h.h", "#pragma once\n", "begins with a comment"),
    ("common/i.h", "// What it is.\n#include <string>\n#pragma once\n", "#pragma once"),
    ("learner/j.h", GOOD_HEADER + "#include <torch/torch.h>\n", "torch/types.h"),
    ("envs/k.cc", "std::mt19937 generator;\n", "common/rng.h"),
    ("envs/l.cc", "#include <format>\n", "str_format"),
    ("tests/unit/envs/m_test.cc", "#include <catch2/catch.hpp>\n", "tests/testing.h"),
    ("actor/n.cc", "std::this_thread::sleep_for(1s);\n", "deadline"),
    ("actor/o.cc", "// TODO: later\n", "names its issue"),
    ("cmake/p.cmake", "add_compile_options(-march=native)\n", "MentorTargets"),
    ("docs/q.md", "See /" + "home/me/x.\n", "path of one machine"),
    ("docs/r.md", "From https://py" + "pi.org/x\n", "registry"),
    ("docs/s.md", "[there](nowhere.md)\n", "leads nowhere"),
    ("docs/w.md", "```cpp\nint gone;\n```\n", "no excerpt"),
    ("docs/examples/x.cc", "int x;\nint y;\n", ""),
    ("docs/good.md", "[here](q.md)\n```cpp\nint y;\n```\n", ""),
    ("proto/mentor/v1/t.proto", "// A.\nmessage A {\n  int32 b = 1;\n}\n", "no comment"),
    ("deploy/requirements-x.txt", "torch==2.11.0\n", "does not read this list"),
    ("deploy/requirements.txt", "torch==2.11.0\n", "no exact version with a hash"),
    ("deploy/install.sh", "#!/usr/bin/env bash\nset -euo pipefail\ncat deploy/requirements.txt deploy/apt.txt\n", "which is not there"),
    ("deploy/u.sh", "#!/usr/bin/env bash\necho\n", "-euo pipefail"),
    ("deploy/v.sh", "#!/bin/sh\n", "begins with"),
    ("meta_learner/good.cc", '#include "envs/benchmark.h"\n#include "learner/agents/ppo.h"\n#include "meta_learner/rules/outer_rule.h"\n'
                             '#include "mentor/v1/spec.pb.h"\n#include <torch/types.h>\n', ""),
    ("envs/good.h", GOOD_HEADER + '#include <mujoco/mujoco.h>\n#include "common/rng.h"\n', ""),
    ("mentor/good.cc", '#include "actor/actor.h"\n#include "meta_learner/store.h"\n', ""),
    ("tests/unit/border/good_test.cc", '#include "actor/actor.h"\n#include "learner/rollout_server.h"\n#include "tests/testing.h"\n', ""),
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
