"""Hooks of mkdocs.yml: pages link to files outside of docs/, which become pages of the site too."""

import logging
import pathlib
import re

from mkdocs.structure.files import File

log = logging.getLogger("mkdocs.hooks.site")
ROOT = pathlib.Path(__file__).resolve().parents[1]
# The site begins with the README; the list of all pages moves.
HOME = {"README.md": "index.md", "docs/index.md": "pages.md"}
LINK = re.compile(r"\[([^\[\]]*)\]\(([^)\s:#]+)((?:#[^)\s]*)?)\)")
FENCES = {".cc": "cpp", ".h": "cpp", ".py": "python", ".sh": "bash", ".html": "html"}
FENCES |= {".yml": "yaml", ".yaml": "yaml", ".proto": "protobuf", ".txtpb": "protobuf"}


def resolve(source, link):
    """The file of the repository that a link names; a folder is its README.md."""
    target = (source.parent / link).resolve()
    readme = target / "README.md"
    return readme if readme.is_file() else target


def place(path):
    """Where a file of the repository is on the site; None for what is no file of it."""
    if not path.is_file() or not path.is_relative_to(ROOT):
        return None
    name = path.relative_to(ROOT).as_posix()
    if name in HOME:
        return HOME[name]
    if name.startswith("docs/") and path.suffix in (".md", ".svg", ".png", ".gif"):
        return name.removeprefix("docs/")
    return f"source/{name}" if path.suffix == ".md" else f"source/{name}.md"


def sources():
    """HOME and every file outside of docs/ that a page names, by their places on the site."""
    found = {at: ROOT / name for name, at in HOME.items()}
    queue = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for path in queue:
        for match in LINK.finditer(path.read_text()):
            target = resolve(path, match[2])
            at = place(target)
            if at and at.startswith("source/") and at not in found:
                found[at] = target
                if target.suffix == ".md":
                    queue.append(target)
    return found


SOURCES = sources()


def page(path):
    text = path.read_text()
    if path.suffix == ".md":
        return text
    return (
        "---\nsearch:\n  exclude: true\n---\n"
        f"# {path.relative_to(ROOT).as_posix()}\n\n"
        f"````{FENCES.get(path.suffix, 'text')}\n{text}\n````\n"
    )


def pages(folders):
    """The pages of folders of docs/; of others their own, or the README.md of each folder."""
    found = []
    for folder in folders.split():
        if (ROOT / "docs" / folder).is_dir():
            found += sorted((ROOT / "docs" / folder).glob("*.md"))
        else:
            own = sorted((ROOT / folder).glob("*.md"))
            found += own or sorted((ROOT / folder).glob("*/README.md"))
    return [place(path) for path in found]


def on_config(config):
    """Folders in the navigation are their pages; a page of docs/ that is not there is an error."""
    text = (ROOT / "mkdocs.yml").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        if f" {path.name}\n" not in text:
            log.warning("docs/%s is missing from nav in mkdocs.yml", path.name)
    for section in config["nav"]:
        for entries in section.values() if isinstance(section, dict) else ():
            for entry in entries:
                for title, folders in entry.items() if isinstance(entry, dict) else ():
                    entry[title] = pages(folders) or folders
    return config


def on_files(files, config):
    files.remove(files.get_file_from_path("index.md"))
    for at, path in SOURCES.items():
        files.append(File.generated(config, at, content=page(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links as seen from the page; one to a folder leads nowhere here, so its text stays."""
    at = page.file.src_uri
    path = SOURCES.get(at, ROOT / "docs" / at)
    if path.suffix != ".md":
        return markdown

    def rewrite(match):
        target = resolve(path, match[2])
        if target.is_dir():
            return match[1]
        name = place(target)
        if name is None:
            return match[0]  # MkDocs says that it leads nowhere.
        return f"[{match[1]}]({'../' * at.count('/')}{name}{match[3]})"

    return LINK.sub(rewrite, markdown)
