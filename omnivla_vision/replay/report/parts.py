"""What a page is put together from. Texts are escaped here; `content` is HTML already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

HERE = Path(__file__).parent
RANDOM = "RANDOM WEIGHTS: right shape, right speed, no meaning."


def page(title: str, subtitle: str, sections: Iterable[str]) -> str:
    """A page that opens offline, without anything from elsewhere; empty sections are left out."""
    return Template((HERE / "page.html").read_text()).substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        css=(HERE / "page.css").read_text(),
        js=(HERE / "page.js").read_text(),
        body="\n".join(filter(None, sections)),
    )


def section(title: str, content: str, *, text: str = "", css: str = "") -> str:
    """A card with a heading, and a paragraph above its content."""
    paragraph = f"<p>{escape(text)}</p>" if text else ""
    return f'<section class="{css}"><h2>{escape(title)}</h2>{paragraph}{content}</section>'


def notice(notes: Sequence[str], *, random: bool = False) -> str:
    """What the reader should know before all else; empty if there is nothing."""
    if not random and not notes:
        return ""
    head = f"<strong>{RANDOM}</strong>" if random else ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<section class="notice">{head}{f"<ul>{items}</ul>" if items else ""}</section>'


def tiles(entries: Iterable[tuple[str, str]]) -> str:
    """Numbers at a glance, each above what it is."""
    inside = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for value, label in entries
    )
    return f'<div class="tiles">{inside}</div>'


def figure(name: str, picture: str, components: str, caption: str, *, css: str = "") -> str:
    """A frame above the principal components of its tokens, both data URLs; what is empty is left out."""
    images = "".join(
        f'<img class="{kind}" alt="{escape(text)}" src="{url}">'
        for kind, text, url in (("picture", name, picture), ("components", "its principal components", components))
        if url
    )
    return f'<figure class="{css}">{images}<figcaption>{escape(caption)}</figcaption></figure>'


def strip(figures: Iterable[str]) -> str:
    """Figures side by side."""
    return f'<div class="strip">{"".join(figures)}</div>'


def key(entries: Iterable[tuple[str, int]]) -> str:
    """The names of a chart's lines; the number is that of a colour in the style sheet."""
    items = "".join(f'<span class="c{colour}"><i></i>{escape(name)}</span>' for name, colour in entries)
    return f'<div class="key">{items}</div>'


def values(entries: Iterable[tuple[str, object]]) -> str:
    """A table of names and values, without those that are empty."""
    lines = "".join(
        f'<tr><th>{escape(name.replace("_", " "))}</th><td class="value">{escape(str(value))}</td></tr>'
        for name, value in entries
        if value not in ("", None)
    )
    return f"<table>{lines}</table>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """A table; `numbers` are the places of columns that are set to the right."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="{"n" if place in numbers else ""}">{escape(cell)}</{tag}>'
            for place, cell in enumerate(cells)
        )

    lines = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{line("th", header)}</tr>{lines}</table></div>'
