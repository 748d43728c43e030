"""How Sphinx builds this site; scripts/docs calls it."""

from __future__ import annotations

from restore.system.versions import version_of

project = "restore"
author = "the restore contributors"
copyright = f"2026, {author}"
version = release = version_of("restore")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
suppress_warnings = ["ref.python"]  # a name that a module re-exports has two places

default_role = "code"  # docstrings name code in single backticks
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "restore"
html_show_sourcelink = False
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
