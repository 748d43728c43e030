"""The site builds without a warning, and needs no network to be read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_parser", "pydata_sphinx_theme"):
        pytest.importorskip(package, reason=f'{package} is not installed: pip install -e ".[docs]"')
    source = tmp_path / "source"
    shutil.copytree(ROOT / "docs", source / "docs", ignore=shutil.ignore_patterns("_build", "api"))
    for included in ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "datasets"):
        place = ROOT / included
        shutil.copytree(place, source / included) if place.is_dir() else shutil.copy(place, source / included)
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", source / "docs", site]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    pages = {page.relative_to(site).as_posix(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert {"index.html", "restoring.html", "reference/config.html", "reference/api/restore.samplers.ddim.html"} <= set(
        pages
    )
    assert "Denoising diffusion implicit models" in pages["reference/api/restore.samplers.ddim.html"]
    for name, text in pages.items():
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"([^\"]*)\"|<link[^>]* href=\"([^\"]*)\"", text)
        assert not [url for pair in loaded for url in pair if url.startswith(("http", "//"))], name
