"""Draws bugs by chance: mutated statements of the sources, each behind a switch.

universalmutator (deploy/requirements/mutants.txt) makes the mutated lines. This module finds the
statement that a line belongs to, and writes both versions of it, so that a running program
chooses one.
"""

import ast
import contextlib
import dataclasses
import functools
import io
import itertools
import pathlib
import random
import re
import subprocess
import sys
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".deps" / "mutants"))

# Folders of the sources; each is a layer.
LAYERS = [
    "common", "envs", "actor", "kernels", "agents", "signals", "methods", "shards", "learner",
    "meta_learner", "cli", "python",
]  # fmt: skip
CC_RULES = ["universal.rules", "c_like.rules", "cpp.rules"]
PY_RULES = ["universal.rules", "python.rules"]
# A longer statement holds lambdas, whose own statements are drawn.
STATEMENT_MAX = 1500
# A string in Python, roughly.
STRING = re.compile(r"([\"']).*?\1")
# What is written for people, and what the compiler alone sees.
SKIPPED = re.compile(
    r"^\s*(MENTOR_LOG|static_assert|using|template|typedef|friend|static|constexpr|thread_local|"
    r"case|default|public|private|goto|#|asm|switch|catch|try|do\b|ABSL_)"
)
CONDITION = re.compile(r"^\s*(?:else\s+)?(?:if|while)\s*\(")
FOR = re.compile(r"^\s*for\s*\(")
DECLARES = re.compile(
    r"^\s*(?:const\s+)?[\w:]+(?:<[^;=]*>)?[\s*&]+(?:\w+|\[[\w, ]+\])\s*(?:=|;|\{|\()"
)
KEYWORD = re.compile(r"^\s*(return|break|continue|throw|delete|else|co_\w+)\b")


@dataclasses.dataclass
class Mutant:
    file: str
    line: int  # From 1.
    begin: int  # The statement, as places in the file's text.
    end: int
    old: str  # The line, and what takes its place.
    new: str
    text: str  # The statement in both versions; MUTANT is the switch.
    name: str = ""

    @property
    def layer(self):
        return self.file.split("/")[0]

    def __str__(self):
        return f"{self.name} {self.file}:{self.line}: {self.old.strip()}  =>  {self.new.strip()}"


def masked(text):
    """The text with comments, strings and characters blanked, of the same length."""
    pattern = (
        r'//[^\n]*|/\*.*?\*/|R"\((?:.*?)\)"|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'"
    )
    blank = lambda found: re.sub(r"[^\n]", " ", found[0])  # noqa: E731
    return re.sub(pattern, blank, text, flags=re.DOTALL)


def is_body(head):
    """Whether the brace after this text opens a function, a lambda or a block."""
    return bool(
        re.search(r"(\)|\]|\b(const|override|noexcept|else|try|do|mutable))\s*$", head)
        or re.search(r"\)\s*(const\s*)?->[\w:<>*&,\s]+$", head)
        or re.search(r"\)\s*:\s*\w+[({]", head)
        or not head.strip()
    )


def statements(text):
    """(begin, end) of each statement or header in a body, outermost first in the list."""
    found, stack = [], []  # (kind, depth, begin) of what lies around.
    kind, depth, begin = "file", 0, 0
    for at, c in enumerate(text):
        if c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == "{":
            head = text[begin:at]
            if re.search(r"\b(namespace|class|struct|enum|union|extern)\b[^()=]*$", head):
                opened = "class"
            elif is_body(head) and not re.search(r"(=|return)\s*$", head):
                opened = "body"
            else:
                opened = "list"
            if opened == "body" and kind == "body" and depth == 0 and head.strip():
                found.append((begin, at))
            stack.append((kind, depth, begin))
            if opened != "list":
                kind, depth, begin = opened, 0, at + 1
            else:
                kind = "list"
        elif c == "}" and stack:
            closed = kind
            kind, depth, outer = stack.pop()
            # A lambda or a list goes on; after a block something new begins.
            begin = at + 1 if closed != "list" and depth == 0 and kind != "list" else outer
        elif c == ";" and depth == 0 and kind in ("body", "class", "file"):
            if kind == "body":
                found.append((begin, at + 1))
            begin = at + 1
    return found


def closing(text, at):
    """The place of the bracket that closes the one at `at`."""
    depth = 0
    for here in range(at, len(text)):
        depth += text[here] in "([{"
        depth -= text[here] in ")]}"
        if depth == 0:
            return here
    return -1


def parted(text, separator=";"):
    """Parts of a text between separators outside of brackets."""
    parts, depth, begin = [], 0, 0
    for at, c in enumerate(masked(text)):
        depth += c in "([{"
        depth -= c in ")]}"
        if c == separator and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
    return [*parts, text[begin:]]


def is_declaration(part):
    return bool(DECLARES.match(part)) and not KEYWORD.match(part) and "==" not in part.split("=")[0]


def one_part(old, new, join, choose):
    """The parts joined, when exactly one differs; choose(old, new, index) writes that one."""
    if len(old) != len(new):
        return None
    differ = [i for i in range(len(old)) if old[i] != new[i]]
    if len(differ) != 1:
        return None
    chosen = choose(old[differ[0]], new[differ[0]], differ[0])
    return chosen and join.join([*old[: differ[0]], chosen, *old[differ[0] + 1 :]])


def either(old, new):
    return f"(MUTANT ? static_cast<bool>({new}) : static_cast<bool>({old}))"


def switched(old, new):
    """A C++ statement with both versions behind MUTANT, or None where the form does not allow it.
    Neither begins with blanks."""
    if SKIPPED.match(old) or SKIPPED.match(new):
        return None
    for header, is_loop in ((CONDITION, False), (FOR, True)):
        if not (at := header.match(old)) or not (there := header.match(new)):
            continue
        if at[0] != there[0] or "constexpr" in old.split("(")[0]:
            return None
        first, second = at.end() - 1, there.end() - 1
        last, end = closing(masked(old), first), closing(masked(new), second)
        if last < 0 or end < 0:
            return None
        head, tail = old[first + 1 : last], old[last + 1 :]
        other, rest = new[second + 1 : end], new[end + 1 :]
        if head == other:
            inner = switched(tail.strip(), rest.strip()) if tail.strip() and rest.strip() else None
            return inner and old[: last + 1] + " { " + inner + " }"
        if tail != rest:
            return None

        def choose(a, b, index):
            if is_loop and index == 2:
                return f" MUTANT ? static_cast<void>({b}) : static_cast<void>({a})"
            is_condition = index == 1 if is_loop else not is_declaration(a)
            return either(a, b) if is_condition and not is_declaration(b) else None

        inner = one_part(parted(head), parted(other), ";", choose)
        return inner and old[: first + 1] + inner + ")" + tail
    if not old.rstrip().endswith(";"):
        return None
    if not new.rstrip().endswith((";", "*/")):
        return None
    if old.startswith("MENTOR_ASSIGN_OR_RETURN"):
        both = [text for text in (old, new) if ")" in text]
        inside = [text[text.index("(") + 1 : text.rindex(")")] for text in both]
        if len(inside) != 2 or not new.startswith("MENTOR_ASSIGN_OR_RETURN"):
            return None
        choose = lambda a, b, i: i and f" MUTANT ? ({b}) : ({a})"  # noqa: E731
        joined = one_part(parted(inside[0], ","), parted(inside[1], ","), ",", choose)
        return joined and f"MENTOR_ASSIGN_OR_RETURN({joined});"
    if is_declaration(old):
        left, _, right = old.partition("=")
        also, _, other = new.partition("=")
        if not right or left != also or not other.rstrip().endswith(";") or "{" == right.strip()[0]:
            return None
        right, other = right.rstrip()[:-1], other.rstrip()[:-1]
        return f"{left}= MUTANT ? ({other}) : ({right});"
    return f"if (MUTANT) {{ {new} }} else {{ {old} }}"


@functools.cache
def library():
    from universalmutator import mutator

    # It reads the rules anew for each call.
    read = functools.cache(lambda files: mutator_rules(list(files)))
    mutator_rules, mutator.parseRules = mutator.parseRules, lambda files: read(tuple(files))
    return mutator


def mutated_lines(lines, rules):
    """(index, new line) of what universalmutator makes of the lines."""
    mutator = library()
    with contextlib.redirect_stdout(io.StringIO()):
        made = mutator.mutants_regexp(lines, ruleFiles=rules, ignorePatterns=[])
    # Two rules add a line with break or continue, which seldom compiles.
    return [(number - 1, new) for number, new, *_ in made if new.count("\n") == 1]


def is_balanced(text):
    return all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))


def cc_mutants(name, text):
    """Every mutant of a C++ file."""
    blank = masked(text)
    for begin, end in statements(blank):
        begin += len(text[begin:end]) - len(text[begin:end].lstrip())
        while blank[begin:end].lstrip() != blank[begin:end]:  # Comments before it.
            begin += len(blank[begin:end]) - len(blank[begin:end].lstrip())
        old = text[begin:end]
        if not old.strip() or end - begin > STATEMENT_MAX:
            continue
        lines = [line + "\n" for line in old.split("\n")]
        for index, new in mutated_lines(lines, CC_RULES):
            changed = "".join([*lines[:index], new, *lines[index + 1 :]])[:-1]
            if not is_balanced(masked(changed)):
                continue
            if masked(changed).split() == masked(old).split():
                continue  # A string, or blanks.
            if form := switched(old, changed):
                at = text.count("\n", 0, begin) + 1 + index
                yield Mutant(name, at, begin, end, lines[index], new, form)


def py_statements(text):
    """(node, whether it is a condition) of what runs in functions of a Python file."""
    simple = (
        ast.Expr, ast.Assign, ast.AugAssign, ast.Return, ast.Raise, ast.Delete, ast.Continue,
        ast.Break,
    )  # fmt: skip
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    # A function within a function is walked by both.
    for node in dict.fromkeys(node for function in functions for node in ast.walk(function)):
        if isinstance(node, (ast.If, ast.While)):
            yield node.test, True
        elif isinstance(node, simple):
            if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
                yield node, False


def py_mutants(name, text):
    """Every mutant of a Python file: of statements without a body, and of conditions."""
    if not text.isascii():
        return  # Python counts columns in bytes.
    warnings.simplefilter("ignore", SyntaxWarning)
    lines = text.splitlines(keepends=True)
    starts = [0, *itertools.accumulate(map(len, lines))]
    for node, is_test in py_statements(text):
        first, last = node.lineno - 1, node.end_lineno - 1
        indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
        if not is_test and lines[first][: node.col_offset].strip():
            continue  # Behind another one on its line.
        begin, end = starts[first] + node.col_offset, starts[last] + node.end_col_offset
        old = text[begin:end]
        own = [line + "\n" for line in old.split("\n")]
        for index, new in mutated_lines(own, PY_RULES):
            changed = "".join([*own[:index], new, *own[index + 1 :]])[:-1]
            if is_test:
                form = f"(({changed}) if MUTANT else ({old}))"
            else:
                deeper = "\n" + indent + " "
                form = (
                    f"if MUTANT:{deeper}{changed.replace(chr(10), deeper)}\n"
                    f"{indent}else:{deeper}{old}"
                )
            try:
                same = ast.dump(ast.parse(changed.strip())) == ast.dump(ast.parse(old.strip()))
                compile(text[:begin] + form.replace("MUTANT", "M") + text[end:], name, "exec")
            except (SyntaxError, ValueError):
                continue
            if not same and STRING.sub("", changed) != STRING.sub("", old):
                yield Mutant(name, first + index + 1, begin, end, own[index], new, form)


def files_of(layer):
    names = subprocess.run(
        ["git", "ls-files", f"{layer}/*.cc", f"{layer}/*.h", f"{layer}/*.py"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    return [name for name in names if not name.startswith("python/setup")]


def mutants_of(name):
    text = (ROOT / name).read_text()
    return list(py_mutants(name, text) if name.endswith(".py") else cc_mutants(name, text))


def draw(count, seed, layers=LAYERS, lines=None):
    """Draws mutants, as many of each layer. With `lines`, {file: set of line numbers}, draws among
    these lines instead. No two lie in one statement."""
    chance = random.Random(seed)
    drawn = []
    groups = [files_of(layer) for layer in layers] if lines is None else [sorted(lines)]
    for index, names in enumerate(groups):
        wanted = count * (index + 1) // len(groups) - count * index // len(groups)
        # Longer files have more bugs.
        pool = [(name, n) for name in names for n in range((ROOT / name).read_text().count("\n"))]
        if lines is not None:
            pool = [(name, n) for name, n in pool if n + 1 in lines[name]]
        chance.shuffle(pool)
        known, own = {}, []
        for name, n in pool:
            if len(own) == wanted:
                break
            if name not in known:
                known[name] = mutants_of(name)
            here = [m for m in known[name] if m.line == n + 1]
            if not here:
                continue
            one = chance.choice(here)
            if all(m.file != name or m.end <= one.begin or one.end <= m.begin for m in own):
                own.append(one)
        drawn += own
    for number, mutant in enumerate(drawn):
        mutant.name = f"m{number:03}"
    return drawn
