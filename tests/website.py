"""The documents as a site: `python -m tests.website FOLDER` writes what mkdocs makes one of.

Every document is a page. docs/VIEWS.md is split: each view has a page of its own with its fields,
its JSON Schema and an example from a captured machine.
"""

from __future__ import annotations

import re
import shutil
import sys
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import msgspec

from procmirror.cli import catalogue, catalogue_rules
from procmirror.decoding.render import schema
from procmirror.decoding.view import View
from tests.fixtures import FIXTURES
from tests.harness import ROOT

_LINES = 40
_OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")
_SETTINGS = """\
site_name: procmirror
docs_dir: pages
site_dir: site
use_directory_urls: false
theme: {name: readthedocs, highlightjs: false}
plugins: [search]
validation: {links: {not_found: warn, anchors: warn, absolute_links: warn}}
"""


def written(folder: Path) -> Path:
    """Write the pages below a folder; returns the file of settings for mkdocs."""
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    for path in sorted((ROOT / "docs").rglob("*")):
        place = pages / path.relative_to(ROOT / "docs")
        if path.suffix == ".md" and path.name != "VIEWS.md":
            name = place if path.name != "README.md" else place.with_name("index.md")
            name.parent.mkdir(parents=True, exist_ok=True)
            name.write_text(_moved(path.read_text(encoding="utf-8"), at_top=False))
        elif path.suffix == ".svg":
            shutil.copy(path, place)
    for outside in _OUTSIDE:
        text = (ROOT / outside).read_text(encoding="utf-8")
        target = "ABOUT.md" if outside == "README.md" else f"{outside.removesuffix('.md')}.md"
        (pages / target).write_text(_moved(text, at_top=True))
    _views(pages)
    settings = folder / "mkdocs.yml"
    settings.write_text(_SETTINGS)
    return settings


def _moved(text: str, *, at_top: bool) -> str:
    """A document with the links that it has in the site; what is no page there is no link."""

    def link(match: re.Match[str]) -> str:
        words, path, anchor = match[1], match[2], match[3] or ""
        if "://" in path:
            return match[0]
        if not path:
            return match[0]
        name = path.removeprefix("../") if not at_top else path.removeprefix("docs/")
        if path in {"README.md", "docs/README.md", "../README.md"}:
            is_index = path == ("docs/README.md" if at_top else "README.md")
            return f"[{words}]({'index' if is_index else 'ABOUT'}.md{anchor})"
        if name == "VIEWS.md":
            return f"[{words}](views/index.md)"
        if name == "upstream/README.md":
            return f"[{words}](upstream/index.md)"
        is_page = (ROOT / "docs" / name).suffix in {".md", ".svg"} or name in _OUTSIDE
        return f"[{words}]({name}{anchor})" if is_page and "/" not in name else words

    return re.sub(r"\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", link, text)


def _views(pages: Path) -> None:
    folder = pages / "views"
    folder.mkdir()
    rules = catalogue_rules.RULES.partition("\n")[2]
    lines = ["# Views", rules]
    for place, views in groupby(catalogue.ordered(), attrgetter("place")):
        lines.append(f"\n## {catalogue.PLACES.get(place) or place}\n")
        for view in views:
            page = f"{_name(view)}.md"
            lines.append(f"- [{view.name}]({page}): {_plain(catalogue.sentence(view))}")
            (folder / page).write_text(_page(view), encoding="utf-8")
    (folder / "index.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _name(view: View) -> str:
    return view.name.replace("/", ".")


def _plain(text: str) -> str:
    return re.sub(r"([*<_])", r"\\\1", text)


def _page(view: View) -> str:
    document = schema(view)
    section = "\n".join(catalogue.own_section(view))
    shown = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    return f"# {view.name}\n\n{section}\n{_example(view)}\n## Schema\n\n{_block(shown)}"


def _example(view: View) -> str:
    found = [one for one in FIXTURES if one.view.name == view.name]
    parts = []
    for suffix in sorted({one.suffix for one in found}, reverse=True):
        example = next(one for one in found if one.suffix == suffix)
        text = example.expected.read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines()
        more = ["…"] if len(lines) > _LINES else []
        parts.append(f"## Example: .{suffix}\n\n{_block(chr(10).join(lines[:_LINES] + more))}")
    return "\n".join(parts)


def _block(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


if __name__ == "__main__":
    sys.stdout.write(f"{written(Path(sys.argv[1]))}\n")
