"""Signals of the Hugging Face Hub, by the package huggingface_hub, which is loaded when it is first
needed. The content of a repository is a stranger's: its files are listed and measured before any is
fetched, and only those of a signal are."""

from __future__ import annotations

import pathlib
import re
import shutil
from typing import Any, Optional

from .errors import SignalError, explained
from .files import (
    CARD,
    CONFIG,
    CONFIG_BYTES_MAX,
    FILE_BYTES_MAX,
    RECORDING,
    WEIGHTS,
    refuse_pickles,
)

SCHEME = "hf://"
# What is fetched and pushed, and the most bytes of each.
FILES = {
    CONFIG: CONFIG_BYTES_MAX,
    WEIGHTS: FILE_BYTES_MAX,
    RECORDING: FILE_BYTES_MAX,
    CARD: CONFIG_BYTES_MAX,
}


def _library() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise SignalError("folder", explained(error, "hub", "huggingface_hub")) from None
    return huggingface_hub


def fetch(name: str) -> pathlib.Path:
    """Returns a folder with the files of hf://OWNER/NAME or hf://OWNER/NAME@REVISION. Files that
    were fetched before are not fetched again; without a connection they are taken as they are."""
    match = re.fullmatch(SCHEME + r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)
    if match is None:
        raise SignalError("signal", f"is '{name}'; give {SCHEME}OWNER/NAME or ...@REVISION")
    repo, revision = match[1], match[2]
    library = _library()
    try:
        info = library.HfApi().model_info(repo, revision=revision, files_metadata=True)
    except (library.errors.HfHubHTTPError, ValueError) as error:
        raise SignalError("signal", f"{name} cannot be read: {_first_line(error)}") from None
    except Exception as error:  # There is no connection: the errors of several HTTP libraries.
        return _fetched_before(library, name, repo, revision, error)
    _check(name, {file.rfilename: file.size for file in info.siblings})
    try:
        for file in info.siblings:
            if file.rfilename in FILES:
                path = library.hf_hub_download(repo, file.rfilename, revision=info.sha)
        # Without a connection the cache then knows the commit of the branch.
        library.hf_hub_download(repo, CONFIG, revision=revision)
    except Exception as error:
        raise SignalError("signal", f"{name} cannot be fetched: {_first_line(error)}") from None
    return pathlib.Path(path).parent


def _fetched_before(
    library: Any, name: str, repo: str, revision: Optional[str], error: Exception
) -> pathlib.Path:
    try:
        return pathlib.Path(
            library.snapshot_download(
                repo, revision=revision, allow_patterns=list(FILES), local_files_only=True
            )
        )
    except (OSError, ValueError):
        raise SignalError(
            "signal", f"{name} cannot be reached, and was not fetched before: {_first_line(error)}"
        ) from None


def _check(name: str, sizes: "dict[str, Any]") -> None:
    for file, most in FILES.items():
        if file in sizes and not (type(sizes[file]) is int and sizes[file] <= most):
            raise SignalError("folder", f"{name} has a {file} of {sizes[file]} bytes, above {most}")
    refuse_pickles(name, sizes)
    missing = [file for file in (CONFIG, WEIGHTS) if file not in sizes]
    if missing:
        raise SignalError(
            "folder", f"{name} has no {missing[0]}; it is no signal that `mentor export` wrote"
        )


def copy(folder: Optional[pathlib.Path], out: pathlib.Path) -> pathlib.Path:
    """Copies the files of a signal, and returns `out`."""
    source = _whole(folder)
    out.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, out / file)
    return out


def push(
    folder: Optional[pathlib.Path], repo: str, private: Optional[bool], message: Optional[str]
) -> str:
    """Uploads them, and returns the address of the commit."""
    source, library = _whole(folder), _library()
    try:
        api = library.HfApi()
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=source,
            allow_patterns=list(FILES),
            commit_message=message or "A signal of Mentor",
        )
    except Exception as error:
        raise SignalError("repo_id", f"'{repo}' was not written: {_first_line(error)}") from None
    return str(commit.commit_url)


def _whole(folder: Optional[pathlib.Path]) -> pathlib.Path:
    if folder is None or not (folder / CONFIG).is_file():
        raise SignalError(
            "folder",
            f"{folder or 'this signal'} has no {CONFIG}: load what `mentor export` of this version "
            "wrote",
        )
    return folder


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
