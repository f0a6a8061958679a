"""The script that sets light or dark before a page is drawn."""

from __future__ import annotations

# Runs in the head of every document, before anything is painted: no flash of the other scheme.
THEME_SCRIPT = (
    '<script>document.documentElement.dataset.theme=localStorage.getItem("theme")'
    '||(matchMedia("(prefers-color-scheme: dark)").matches?"dark":"light")</script>'
)
