#!/usr/bin/env python3
"""Holds sizes and sentences within limits: functions of 70 lines, files of 500, and sentences of 30
words in comments and documents. It also refuses openings of sentences that make a reader look back.

Usage: limits.py [--shrink | --list | --self-test] [FILE...]
  FILE...    look at these; default: every file that git knows
  --shrink   write tests/tidy/limits.txt again; no number in it grows, and no line is added
  --list     print every offender, also those within the list
  --self-test  check that each rule finds what is planted for it

limits.txt lists the offenders of the day on which the check began: `KIND COUNT FILE`. A count above
the list is a finding, and so is a count below it: run --shrink, so that the list only shrinks.
Standard library only. Prints FILE:LINE: MESSAGE for each finding; exit status 1 when there is one.
"""

import ast
import collections
import io
import pathlib
import re
import subprocess
import sys
import tokenize

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = ROOT / "tests/tidy/limits.txt"
FUNCTION_LINES = 70
FILE_LINES = 500
SENTENCE_WORDS = 30
OPENERS = re.compile(r"^(Of|Who|Whose|Those|Nobody|Whoever)\b")
SLASHES = (".h", ".cc", ".cuh", ".cu", ".inc", ".proto", ".js")
HASHES = (".sh", ".cmake", ".txtpb", ".yaml", ".yml", ".toml")
# Generated pages, foreign files, records, and texts that other programs read.
SKIPPED = re.compile(
    r"^(proto/google/|tests/fuzz/corpus/|tests/data/|zoo/|LICENSE|CHANGELOG)"
    r"|^docs/(api|errors|metrics|experiment_metrics|mentorctl|licences)\.md$|\.(ipynb|json|svg)$"
)

Finding = collections.namedtuple("Finding", "kind file line message")


def comment_blocks(name, text):
    """(line, prose) of each run of comment lines, docstring or paragraph of a document."""
    if name.endswith(".md"):
        return list(paragraphs(text))
    if name.endswith(".py"):
        return list(python_blocks(text))
    marker = "//" if name.endswith(SLASHES) else "#"
    return list(line_blocks(text, marker))


def line_blocks(text, marker):
    start, block = 0, []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        stripped = line.strip()
        whole = stripped.startswith(marker) and not stripped.startswith("#!")
        words = stripped.lstrip(marker[0] + "!").strip() if whole else ""
        if block and not words:
            yield start, " ".join(block)
            block = []
        if words:
            # An indented line of a comment is an example, a list or a table.
            if re.match(rf"{marker}+!?\s{{3,}}\S", stripped) or stripped.startswith("# shellcheck"):
                if block:
                    yield start, " ".join(block)
                block = []
                continue
            start = start if block else number
            block.append(words)
        elif not whole:
            trailing = re.search(rf"\s{marker} (.+)$", line)
            if trailing and line.count('"', 0, trailing.start()) % 2 == 0:
                yield number, trailing[1]


def python_blocks(text):
    try:
        tree = ast.parse(text)
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, tokenize.TokenError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            documentation = ast.get_docstring(node)
            if documentation:
                for line, words in paragraphs(documentation, tables=r"\s\s|\S+( \S+)?\s\s+\S"):
                    yield node.body[0].lineno + line - 1, words
    start, block, last = 0, [], -1
    for token in tokens:
        if token.type != tokenize.COMMENT or token.string.startswith("#!"):
            continue
        if block and token.start[0] != last + 1:
            yield start, " ".join(block)
            block = []
        start = start if block else token.start[0]
        block.append(token.string.lstrip("# "))
        last = token.start[0]
    if block:
        yield start, " ".join(block)


def paragraphs(text, tables=r"    \S"):
    """Prose of Markdown: without tables, code, headings and HTML; each item of a list by itself.
    Lines that match `tables` are no prose."""
    fenced, start, block = False, 0, []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        stripped = line.strip()
        fence = stripped.startswith("```")
        fenced ^= fence
        prose = not (fenced or fence) and not re.match(rf"\s*\||#|!\[|<|Usage:|  --|{tables}", line)
        item = re.match(r"([-*]|\d+\.) ", stripped)
        if block and (not stripped or not prose or item):
            yield start, " ".join(block)
            block = []
        if stripped and prose:
            start = start if block else number
            block.append(stripped[item.end() :] if item else stripped)


def sentences(words):
    words = re.sub(r"`[^`]*`|\[([^\]]*)\]\([^)]*\)", lambda m: m[1] or "code", words)
    words = re.sub(r"https?://\S+|docs/[\w/.#-]*\w|[\w/]+/README\.md[\w#-]*", "link", words)
    words = re.sub(r"\b(e\.g|i\.e|et al|cf|[Ee]q|vs)\.", lambda m: m[1], words)
    for sentence in re.split(r"(?<=[\w\])\"'`*][.!?])[\"')*]*\s+", words):
        yield sentence.strip(" *_\"'(")


def check_sentences(name, text):
    for line, block in comment_blocks(name, text):
        for sentence in sentences(block):
            shown = sentence[:60]
            if OPENERS.match(sentence):
                yield Finding("opener", name, line, f"'{shown}...': begin with the subject")
            count = len(re.findall(r"[A-Za-z][\w'-]*|\d[\d.,]*", sentence))
            if count > SENTENCE_WORDS:
                message = f"'{shown}...' has {count} words, {SENTENCE_WORDS} is the limit: split it"
                yield Finding("sentence", name, line, message)


def without_strings(text):
    """C++ with the insides of strings, characters and comments blanked; lines stay."""
    pattern = re.compile(
        r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![\w])\'(?:\\.|[^\'\\\n])+\'|//[^\n]*|/\*.*?\*/',
        re.DOTALL,
    )
    return pattern.sub(lambda m: '""' + "\n" * m[0].count("\n"), text)


SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b(?![^{]*\))")


def cpp_functions(text):
    """(first line, name, lines) of functions outside of functions; a test case is one."""
    stack, begin, line = [], None, 1
    header = []
    for character in without_strings(text):
        if character == "\n":
            line += 1
        if character == "{":
            words = "".join(header).strip()
            outside = all(kind == "scope" for kind, _, _ in stack)
            if outside and SCOPE.search(words):
                stack.append(("scope", line, ""))
            elif outside and ")" in words and not re.search(r"(^|[^=!<>])=\s*[^=]*$", words):
                name = re.search(r"([~\w:]+)\s*\(", words)
                stack.append(("function", begin, name[1] if name else "?"))
            else:
                stack.append(("block", line, ""))
            header, begin = [], None
        elif character == "}":
            if stack:
                kind, first, name = stack.pop()
                if kind == "function":
                    yield first, name, line - first + 1
            header, begin = [], None
        elif character == ";":
            header, begin = [], None
        else:
            if begin is None and not character.isspace():
                begin = line
            header.append(character)


def python_functions(text):
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name, node.end_lineno - node.lineno + 1


def check_sizes(name, text):
    code = name.endswith((".h", ".cc", ".cuh", ".cu", ".inc", ".py"))
    if not code:
        return
    lines = text.count("\n")
    if lines > FILE_LINES:
        message = f"{lines} lines, {FILE_LINES} is the limit: split it"
        yield Finding("file", name, 1, message)
    functions = python_functions(text) if name.endswith(".py") else cpp_functions(text)
    for line, function, length in functions:
        if length > FUNCTION_LINES:
            message = f"{function} has {length} lines, {FUNCTION_LINES} is the limit: split it"
            yield Finding("function", name, line, message)


def check(name, text):
    """All findings of one file, as if no list were there."""
    if SKIPPED.search(name):
        return []
    found = list(check_sizes(name, text))
    if name.endswith((*SLASHES, *HASHES, ".py", ".md")) or name.endswith("CMakeLists.txt"):
        found += check_sentences(name, text)
    return found


def read_list():
    allowed = {}
    for line in LIST.read_text().splitlines() if LIST.is_file() else ():
        if line and not line.startswith("#"):
            kind, count, name = line.split()
            allowed[kind, name] = int(count)
    return allowed


def counted(findings):
    return collections.Counter((finding.kind, finding.file) for finding in findings)


HEAD = "# What was above a limit when this check began: KIND COUNT FILE. It only shrinks.\n"


def write_list(allowed, counts):
    kept = {key: min(count, counts[key]) for key, count in allowed.items() if counts[key]}
    rows = [f"{kind} {count} {name}\n" for (kind, name), count in sorted(kept.items())]
    LIST.write_text(HEAD + "".join(rows))


SHORT = "// It is short.\n"
LONG = "word " * 31
# File, its text, and the kinds of its findings.
PLANTED = [
    ("a.h", SHORT, []),
    ("a.h", "// Who calls must hold the lock.\n", ["opener"]),
    ("a.h", "int x;  // Of the shard.\n", ["opener"]),
    ("a.h", 'const char* a = "// Of it";\n', []),
    ("a.h", f"// A {LONG}.\n// Short.\n", ["sentence"]),
    ("a.h", f"// {'A b. ' * 40}\n", []),
    ("a.proto", f"// A {'word ' * 15}\n// {'word ' * 16}.\n", ["sentence"]),
    ("a.py", f'"""A {LONG}."""\n', ["sentence"]),
    ("a.py", "x = 1\n# Those are few.\n", ["opener"]),
    ("a.sh", "# Nobody waits.\n", ["opener"]),
    ("a.md", f"# A {LONG}\n\n| {LONG} |\n\n```\n{LONG}\n```\n", []),
    ("a.md", f"Good.\n\n* {LONG}\n", ["sentence"]),
    ("a.md", f"* Good.\n\n  | {LONG} |\n", []),
    ("a.cc", "int F() {\n" + "  f();\n" * 68 + "}\n", []),
    ("a.cc", "int F() {\n" + "  f();\n" * 69 + "}\n", ["function"]),
    ("a.cc", "class A {\n  int F() {\n" + "  if (a) {\n}\n" * 35 + "  }\n};\n", ["function"]),
    ("a.cc", "namespace {\n" + "int f();\n" * 80 + "}\n", []),
    ("a.py", "def f():\n" + "    f()\n" * 70, ["function"]),
    ("a.cc", "int f();\n" * 501, ["file"]),
    ("docs/api.md", LONG, []),
]


def self_test():
    failures = 0
    for name, text, expected in PLANTED:
        kinds = [finding.kind for finding in check(name, text)]
        if kinds != expected:
            failures += 1
            print(f"{name}: {text[:50]!r}: found {kinds}, not {expected}")
    print(f"self-test of limits: {len(PLANTED)} files, {failures} failures")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    options = [word for word in arguments if word.startswith("-")]
    if set(options) - {"--shrink", "--list"}:
        print(__doc__)
        return 0 if options in (["-h"], ["--help"]) else 2
    files = [word for word in arguments if not word.startswith("-")]
    everything = not files
    if everything:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    findings = []
    for name in files:
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            findings += check(name, path.read_text(encoding="utf-8", errors="replace"))
    allowed, counts = read_list(), counted(findings)
    if "--shrink" in options and everything:
        write_list(allowed, counts)
        allowed = read_list()
    failed = 0
    for finding in findings:
        key = finding.kind, finding.file
        if "--list" in options or counts[key] > allowed.get(key, 0):
            failed += 1
            print(f"{finding.file}:{finding.line}: {finding.message}")
    for (kind, name), count in allowed.items():
        if (everything or name in files) and counts[kind, name] < count:
            failed += 1
            print(
                f"{name}:1: fewer of kind '{kind}' than listed: run tests/tidy/limits.py --shrink"
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
