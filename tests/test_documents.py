"""The documents: every link leads somewhere, here, in the packages and in the site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import pytest

from procmirror.views import VIEWS
from tests import website
from tests.harness import ROOT
from tests.kernels import record
from tests.kernels.__main__ import boots
from tests.kernels.findings import Findings, Run

DOCUMENTS = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "docs/upstream", ROOT / "tests")
    for path in folder.glob("*.md")
)


def links(text: str) -> Iterator[tuple[str, str]]:
    """Path and anchor of each link of a document, but for those to other machines."""
    outside_of_code = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", outside_of_code)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield path, anchor


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path) -> None:
    dead = []
    for path, anchor in links(document.read_text(encoding="utf-8")):
        target = document.parent / path if path else document
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in _anchors(target)
        ):
            dead.append(f"{path}#{anchor}" if anchor else path)
    assert not dead


def test_the_index_names_every_document() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / path).resolve() for path, _ in links(index.read_text())}
    assert {path for path in DOCUMENTS if path.parent.name == "docs"} - {index} <= linked


def test_the_page_about_the_tests_names_every_module_and_folder_of_them() -> None:
    page = (ROOT / "tests/README.md").read_text(encoding="utf-8")
    named = {part for path in re.findall(r"`([\w/]+)(?:\.py)?`", page) for part in path.split("/")}
    modules = {path.stem for path in (ROOT / "tests").glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    assert not (modules | folders) - named


def test_the_debian_package_holds_what_its_readme_names() -> None:
    """Links are to files in the same folder there."""
    shipped = [
        line
        for name in ("docs", "examples")
        for line in (ROOT / f"debian/procmirror.{name}").read_text().splitlines()
    ]
    elsewhere = {"completions", "docs/procmirror.8", ".ci/packages.table"}
    for path, _ in links((ROOT / "README.md").read_text(encoding="utf-8")):
        assert path in elsewhere or any(
            fnmatch(path, pattern)
            or path.startswith(f"{pattern}/")
            or path == pattern.removesuffix("/*")
            for pattern in shipped
        ), path


def test_the_site_has_a_page_for_each_view_and_no_dead_link(tmp_path: Path) -> None:
    website.written(tmp_path)
    pages = tmp_path / "pages"
    for view in VIEWS:
        text = (pages / "views" / f"{view.name.replace('/', '.')}.md").read_text(encoding="utf-8")
        assert "\n## Schema\n" in text and f'"title": "{view.name}"' in text
    with_examples = sum("\n## Example: " in path.read_text() for path in pages.glob("views/*.md"))
    assert with_examples > len(VIEWS) * 2 / 3
    dead = [
        f"{page.name}: {path}"
        for page in pages.rglob("*.md")
        for path, _ in links(page.read_text(encoding="utf-8"))
        if path and not (page.parent / path).exists()
    ]
    assert not dead


def test_what_rights_set_holds_for_no_other_part() -> None:
    """Yama's last scope and lockdown hold until the end of a boot."""
    for parts in (list(record.PARTS), ["rights", "containers"], ["rights"]):
        found = [names for names, _ in boots(parts)]
        assert ["rights"] in found
        assert sorted(name for names in found for name in names) == sorted(parts)


def test_the_record_of_kernels_has_no_path_of_the_machine(tmp_path: Path) -> None:
    part = Findings("modules", "questions", 1, remarks=[f"drbd: {ROOT}/build/kernels/drbdmeta"])
    run = Run("trixie", "6.12", "2026-11-29", "x86_64", 0, [part])
    (tmp_path / "trixie").mkdir()
    (tmp_path / "trixie" / "run.json").write_bytes(msgspec.json.encode(run))
    record.write(tmp_path, ["trixie"], tmp_path / "KERNELS.md")
    assert "- `drbd: build/kernels/drbdmeta`" in (tmp_path / "KERNELS.md").read_text()
