#!/usr/bin/env python3
"""Holds sizes and sentences within limits: functions of 70 lines, files of 500, and sentences of 30
words in comments and documents. It also refuses openings of sentences that make a reader look back,
and comments that begin with Nothing, Null, All and the like without a verb.

Usage: limits.py [--shrink | --raise NAME | --list | --self-test] [FILE...]
  FILE...       look at these; default: every file that git knows
  --shrink      write tests/tidy/limits.txt again; no number in it grows, and no line is added
  --raise NAME  write what this file or folder has now; the commit's body says why, and names it
  --list        print every offender, also those within the list
  --self-test   check that each rule finds what is planted for it

limits.txt lists the offenders: `KIND AMOUNT FILE [FUNCTION]`. The amount is of lines for files and
functions, so that no offender grows, and else a count. `folder LINES NAME` are all lines of sources
below a folder, to the next hundred. An amount above the list is a finding, and so is one below it:
run --shrink, so that the list only shrinks. A number that was raised is a finding until the body of
that commit names the file or folder. Standard library only. Prints FILE:LINE: MESSAGE for each
finding; exit status 1 when there is one.
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
# A comment that begins with these needs a verb up to CLAUSE; after Whether up to a comma.
FRAGMENTS = re.compile(r"(Nothing|None|Empty|All|Null|Whether)\b(.*)", re.DOTALL)
CLAUSE = re.compile(
    r"[,:;]|\b(where|when|if|unless|until|while|once|that|which|who|whose|because|since|as)\b"
)
# Add what is missing.
VERBS = re.compile(
    r"\b(is|are|was|were|has|have|had|do|does|did|can|cannot|may|must|will|would|should|goes"
    r"|(become|begin|belong|change|come|count|depend|end|fall|follow|give|go|happen|help|hold|know"
    r"|lead|leave|listen|make|mean|mount|move|need|open|read|run|say|see|share|show|stand|stay"
    r"|succeed|take|touch|use|wait|work|write)(s|es|d|ed)?)\b"
)
SLASHES = (".h", ".cc", ".cuh", ".cu", ".inc", ".proto", ".js")
HASHES = (".sh", ".cmake", ".txtpb", ".yaml", ".yml", ".toml")
# Generated pages, foreign files, records, and texts that other programs read.
SKIPPED = re.compile(
    r"^(proto/google/|tests/fuzz/corpus/|tests/data/|zoo/|LICENSE|CHANGELOG)"
    r"|^docs/(api|errors|metrics|experiment_metrics|mentorctl|licences)\.md$|\.(ipynb|json|svg)$"
)

# Kinds of one limit are added up for a file, or for a function of it.
Finding = collections.namedtuple(
    "Finding", "kind file line message amount function", defaults=(1, "")
)


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


def check_fragments(name, text):
    for line, block in comment_blocks(name, text):
        sentence = next(sentences(block))
        found = FRAGMENTS.match(sentence)
        if not found:
            continue
        word, rest = found.groups()
        clause = rest.partition(",")[0] if word == "Whether" else CLAUSE.split(rest, maxsplit=1)[0]
        if not VERBS.search(re.sub(r"\bto \w+", "", clause)):
            message = f"'{sentence[:60]}...': '{word}' needs a verb before the first comma"
            yield Finding("fragment", name, line, message)


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
        yield Finding("file", name, 1, message, lines)
    functions = python_functions(text) if name.endswith(".py") else cpp_functions(text)
    for line, function, length in functions:
        if length > FUNCTION_LINES:
            message = f"{function} has {length} lines, {FUNCTION_LINES} is the limit: split it"
            yield Finding("function", name, line, message, length, function)


def check(name, text):
    """Returns the findings of one file, as if no list were there."""
    if SKIPPED.search(name):
        return []
    found = list(check_sizes(name, text))
    if name.endswith((*SLASHES, *HASHES, ".py", ".md")) or name.endswith("CMakeLists.txt"):
        found += check_sentences(name, text)
        found += () if name.endswith(".md") else check_fragments(name, text)
    return found


def folder_of(name):
    """Returns the folder at the top that a source belongs to; an empty text for other files."""
    folder = name.partition("/")[0]
    code = name.endswith((".cc", ".h", ".cu", ".cuh", ".inc", ".py")) and "/" in name
    return folder if code and folder not in ("tests", "docs") else ""


def read_list(text):
    """Returns (kind, file, function) -> amount."""
    allowed = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            kind, amount, *name = line.split()
            allowed[kind, name[0], " ".join(name[1:])] = int(amount)
    return allowed


def counted(findings):
    counts = collections.Counter()
    for finding in findings:
        counts[finding.kind, finding.file, finding.function] += finding.amount
    return counts


def listed(key, count):
    """The amount of the list for this count: lines of a folder are kept to the next hundred."""
    return -(-count // 100) * 100 if key[0] == "folder" else count


HEAD = """\
# What is above a limit, and the lines of sources of each folder: KIND AMOUNT NAME [FUNCTION].
# limits.py --shrink lowers the numbers; a commit that raises one says why in its body.
"""


def write_list(allowed):
    rows = [
        f"{kind} {amount} {name} {function}".rstrip() + "\n"
        for (kind, name, function), amount in sorted(allowed.items())
        if amount
    ]
    LIST.write_text(HEAD + "".join(rows))


def is_loose(key, amount, count):
    """True if --shrink has something to do that cannot wait. A folder may lose some lines without,
    since branches that all change its number would be in each other's way."""
    return amount > 1.01 * count + 100 if key[0] == "folder" else amount > count


def unexplained(before, after, body):
    """Names whose numbers rose from one text of the list to the next without a word in the commit's
    body."""
    old = read_list(before)
    if not any(kind == "folder" for kind, _, _ in old):
        return []  # The list was of another form, or did not exist.
    raised = {key[1] for key, amount in read_list(after).items() if amount > old.get(key, 0)}
    return sorted(name for name in raised if name not in body)


def check_history():
    """Looks at the newest commit that changed the list. Sources without a history pass."""

    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    path = LIST.relative_to(ROOT).as_posix()
    newest = git("log", "-1", "--no-merges", "--format=%H", "--", path).strip()
    if not newest:
        return
    texts = [git("show", f"{commit}:{path}") for commit in (f"{newest}^", newest)]
    for name in unexplained(*texts, git("log", "-1", "--format=%b", newest)):
        yield f"{path}:1: commit {newest[:8]} raised {name}, and its body does not say why"


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
    ("a.h", "// Empty where none reports success, or where it is late.\n", ["fragment"]),
    ("a.h", "int x;  // Null: no limit.\n", ["fragment"]),
    ("a.py", "# Nothing to write yet.\n", ["fragment"]),
    ("a.py", "# Nothing was written, and nothing is.\n", []),
    ("a.h", "// Whether a learner may have a shard, and if not, why.\n", []),
    ("a.md", "All units.\n", []),
]
# Lists before and after a commit, its body, and the names without an explanation.
RAISED = [
    ("folder 100 a\n", "folder 200 a\n", "", ["a"]),
    ("folder 100 a\n", "folder 200 a\n", "a: it needs them.", []),
    ("folder 100 a\n", "folder 100 a\nfunction 71 a/b.cc F\n", "", ["a/b.cc"]),
    ("folder 200 a\n", "folder 100 a\n", "", []),
    ("file 1 a\n", "file 501 a\nfolder 600 a\n", "", []),
]


def self_test():
    failures = 0
    for name, text, expected in PLANTED:
        kinds = [finding.kind for finding in check(name, text)]
        if kinds != expected:
            failures += 1
            print(f"{name}: {text[:50]!r}: found {kinds}, not {expected}")
    for before, after, body, expected in RAISED:
        if unexplained(before, after, body) != expected:
            failures += 1
            print(f"{after!r}: found {unexplained(before, after, body)}, not {expected}")
    grown = Finding("file", "a.cc", 1, "", 502)
    if not excess([grown], {("file", "a.cc", ""): 501}):
        failures += 1
        print("a file of the list may grow")
    print(f"self-test of limits: {len(PLANTED)} files, {failures} failures")
    return 1 if failures else 0


def all_findings(files):
    """Returns what is found in the files, and the lines of each folder."""
    findings, folders = [], collections.Counter()
    for name in files:
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            text = path.read_text(encoding="utf-8", errors="replace")
            findings += check(name, text)
            if folder_of(name):
                folders["folder", folder_of(name), ""] += text.count("\n")
    return findings, folders


def excess(findings, allowed):
    """Returns the findings of what is above the list, as lines."""
    counts, found = counted(findings), []
    for finding in findings:
        key = finding.kind, finding.file, finding.function
        limit = allowed.get(key, 0)
        if counts[key] > limit:
            grown = f"; it had {limit} (tests/tidy/limits.txt)" if limit else ""
            found.append(f"{finding.file}:{finding.line}: {finding.message}{grown}")
    return found


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    raised = arguments[1:] if arguments[:1] == ["--raise"] else []
    options = [word for word in arguments if word.startswith("-")]
    if set(options) - {"--shrink", "--list", "--raise"} or ("--raise" in options and not raised):
        print(__doc__)
        return 0 if options in (["-h"], ["--help"]) else 2
    files = [] if raised else [word for word in arguments if not word.startswith("-")]
    everything = not files
    if everything:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    findings, folders = all_findings(files)
    allowed = read_list(LIST.read_text() if LIST.is_file() else "")
    counts = counted(findings)
    if everything:
        counts += folders
    if everything and ("--shrink" in options or raised):
        allowed = {key: min(amount, listed(key, counts[key])) for key, amount in allowed.items()}
        allowed |= {key: listed(key, counts[key]) for key in counts if key[1] in raised}
        write_list(allowed)
    found = excess(findings, {} if "--list" in options else allowed)
    for key, count in folders.items() if everything else ():
        if count > allowed.get(key, 0):
            found.append(
                f"{key[1]}:1: {count} lines of sources, {allowed.get(key, 0)} is the limit: delete "
                "as many, or limits.py --raise and a commit whose body says why"
            )
    for key, amount in allowed.items():
        if (everything or key[1] in files) and is_loose(key, amount, counts[key]):
            found.append(
                f"{key[1]}:1: less of kind '{key[0]}' than listed: run tests/tidy/limits.py "
                "--shrink"
            )
    found += check_history() if everything else ()
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
