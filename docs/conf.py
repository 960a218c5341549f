"""How Sphinx builds these pages: `make docs`. Nothing is fetched, neither while building nor while reading."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from artylyze import __version__  # noqa: E402

project = "artylyze"
author = "the artylyze authors"
version = release = __version__

extensions = ["myst_parser", "from_code"]
exclude_patterns: list[str] = []
source_suffix = {".md": "markdown"}
highlight_language = "text"
smartquotes = False
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "artylyze"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["artylyze.css"]
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}
html_sidebars: dict[str, list[str]] = {"index": [], "limits": []}
project_copyright = "the artylyze authors, Apache-2.0"
python_maximum_signature_line_length = 88
