"""The website of the documentation: it builds, and every link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir"]
    done = subprocess.run(
        [*command, str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages <= {page.stem for page in site.glob("*.html")}


def test_files_of_the_repository_that_pages_link_to_are_there(site: Path) -> None:
    readme = (site / "repository/index.html").read_text(encoding="utf-8")
    assert 'href="../first-mask.html"' in readme
    first = (site / "first-mask.html").read_text(encoding="utf-8")
    assert 'href="repository/index.html#install"' in first
    assert (site / "repository/LICENSE").is_file()
    configs = (site / "repository/training/configs/index.html").read_text("utf-8")
    assert 'href="sbd_resnet50.yaml"' in configs
    assert (site / "repository/training/configs/sbd_resnet50.yaml").is_file()


def test_tables_and_lists_became_tables_and_lists(site: Path) -> None:
    """Python-Markdown wants empty lines where code hosts do not."""
    pages = [*site.glob("*.html")]
    assert pages
    for page in pages:
        text = page.read_text(encoding="utf-8")
        body = text[text.index("<article") : text.index("</article>")]
        prose = re.sub(r"<(pre|code)\b.*?</\1>", "", body, flags=re.DOTALL)
        assert not re.search(r"\|\s*-{3}", prose), page.name
        assert not re.search(r"<p>[^<]*\n\s*(- |\d\. )", prose), page.name
