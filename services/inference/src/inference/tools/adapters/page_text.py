"""An HTML page as the text that a model needs: no markup, no scripts; headings, list items and links kept.

By selectolax: the standard library's parser takes time that grows with the square of the length of broken markup. This one
does so for depth alone, so what is nested absurdly deep is cut off first.
"""

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

DEEPEST: Final = 500

_SILENT: Final = ["script", "style", "noscript", "template", "svg", "iframe", "object", "head"]
_BLOCKS: Final = frozenset(
    {
        "p",
        "div",
        "section",
        "article",
        "header",
        "footer",
        "main",
        "aside",
        "nav",
        "ul",
        "ol",
        "table",
        "tr",
        "br",
        "hr",
    }
    | {"pre", "blockquote", "form", "figure", "dl", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6", "li"}
)
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_CLOSED_BY_OTHERS: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
    | {"p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option", "html", "head", "body"}
)


def page_text(html: str) -> str:
    """The page's title and text. Whatever the markup is like, this ends soon and never raises."""
    tree = LexborHTMLParser(_without_depths(html))
    title_node = tree.css_first("title")
    title = " ".join(title_node.text().split()) if title_node is not None else ""
    tree.strip_tags(_SILENT)
    pieces: list[str] = []
    if tree.body is not None:
        _write(tree.body, pieces)
    text = re.sub(r"[^\S\n]+", " ", "".join(pieces))
    text = re.sub(r" ?\n ?", "\n", text)
    text = re.sub(r"\n+- ", "\n- ", re.sub(r"\n{3,}", "\n\n", text)).strip()
    return f"{title}\n\n{text}".strip() if title and not text.startswith(title) else text


def _without_depths(html: str) -> str:
    depth = 0
    for tag in _TAG.finditer(html):
        if tag[2].lower() not in _CLOSED_BY_OTHERS:
            depth = max(0, depth - 1) if tag[1] else depth + 1
            if depth > DEEPEST:
                return html[: tag.start()]
    return html


def _write(body: LexborNode, pieces: list[str]) -> None:
    """The text inside `body`; blocks stand on lines of their own. Without recursion: broken markup nests deeply by itself."""
    todo: list[LexborNode | str | None] = [body.child]
    while todo:
        node = todo.pop()
        if node is None:
            continue
        if isinstance(node, str):
            pieces.append(node)
            continue
        todo.append(node.next)
        tag = node.tag or ""
        if tag == "-text":
            pieces.append(node.text_content or "")
            continue
        if tag in _BLOCKS:
            pieces.append("\n" + _mark(tag))
            todo.append("\n")
        target = (node.attributes.get("href") or "") if tag == "a" else ""
        if target.startswith(("http://", "https://")):
            todo.append(f" ({target})")
        todo.append(node.child)


def _mark(tag: str) -> str:
    if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
        return "#" * int(tag[1]) + " "
    return "- " if tag == "li" else ""
