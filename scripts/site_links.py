"""A hook of MkDocs: files of the repository that pages link to join the site.

Pages link to what lies beside ``docs/`` by relative paths, which work on a code host
and in a clone. In the site such a file has its path behind ``repository/``; a folder
becomes a page that lists its files.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS, FOLDER = "docs/", "repository/"
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages link to, and what those files link to in turn."""
    pages = [_place(page.src_uri) for page in files.documentation_pages()]
    waiting = [target for page in pages for target in _linked(page)]
    while waiting:
        target = waiting.pop()
        if files.get_file_from_path(_uri(target)) is None:
            files.append(_file(target, config))
            waiting += _linked(target)
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Make links lead to the places that files have in the site."""
    del config, files
    here = posixpath.dirname(page.file.src_uri)
    place = _place(page.file.src_uri).parent

    def moved(link: re.Match[str]) -> str:
        target = (place / link[1]).resolve()
        if not target.exists():
            return link[0]  # MkDocs says what is wrong with it
        return posixpath.relpath(_uri(target), here or ".") + (link[2] or "")

    return LINK.sub(moved, markdown)


def _linked(file: Path) -> list[Path]:
    """Return what a page or a folder leads to outside the pages."""
    if file.is_dir():
        return _files(file)
    if file.suffix != ".md":
        return []
    links = LINK.findall(file.read_text(encoding="utf-8"))
    targets = [(file.parent / path).resolve() for path, _ in links]
    return [one for one in targets if one.exists() and _uri(one).startswith(FOLDER)]


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder, in order."""
    return sorted(item for item in folder.iterdir() if item.is_file())


def _place(uri: str) -> Path:
    """Return the file of the repository that stands in the site under this name."""
    inside = uri.startswith(FOLDER)
    return ROOT / (uri.removeprefix(FOLDER) if inside else DOCS + uri)


def _uri(target: Path) -> str:
    """Return the name in the site of a file or folder of the repository."""
    path = target.relative_to(ROOT).as_posix()
    if path.startswith(DOCS):
        return path.removeprefix(DOCS)
    return FOLDER + path + ("/index.md" if target.is_dir() else "")


def _file(target: Path, config: MkDocsConfig) -> File:
    """Return a file that stands outside the pages, as a file of the site."""
    if target.is_dir():
        names = [f"- [{item.name}]({item.name})" for item in _files(target)]
        content = "\n".join([f"# {target.name}", "", *names])
        made = File.generated(config, _uri(target), content=content)
    else:
        made = File.generated(config, _uri(target), abs_src_path=str(target))
    made.inclusion = InclusionLevel.NOT_IN_NAV
    return made
