"""The hooks of mkdocs.yml: links to files outside the site, `llms.txt`, and the docstrings."""

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import griffe

LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(?:#[^)]*)?\)")
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
PARAMETER = re.compile(r"^(\w+(?:, \w+)*): (?=\S)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Replaces links to files that are not part of the site by their texts."""
    folder, docs = Path(page.file.abs_src_path).parent, Path(config.docs_dir)
    return LINK.sub(lambda link: link[0] if (folder / link[2]).resolve().is_relative_to(docs) else link[1], markdown)


def on_nav(nav: Any, config: Any, **_: Any) -> None:
    """Keeps the navigation for the end of the build."""
    config.extra["nav"] = nav


def on_post_build(config: Any) -> None:
    """Writes `llms.txt`, the pages in the order of the navigation, and each page as Markdown beside it."""
    site, nav = Path(config.site_dir), config.extra["nav"]
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", "", *_listed(nav.items)]
    (site / "llms.txt").write_text("\n".join(lines) + "\n")
    for page in nav.pages:
        target = site / page.file.src_uri
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Path(page.file.abs_src_path).read_text())


def _listed(items: Any) -> Iterator[str]:
    """The lines of `llms.txt` below the title: a heading for each section, a line for each page."""
    for item in items:
        if item.is_page:
            yield f"- [{item.title}]({item.file.src_uri}): {_summary(item.markdown)}"
        else:
            yield from () if item.parent else ("", f"## {item.title}", "")
            yield from _listed(item.children)


def _summary(markdown: str) -> str:
    """The first sentence of a page."""
    paragraphs = [part for part in markdown.split("\n\n") if part and not part.startswith(("#", "```", "|", ">"))]
    text = " ".join(paragraphs[0].split()) if paragraphs else ""
    return re.split(r"(?<=\.) ", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text), maxsplit=1)[0]


def _with_lists(lines: list[str]) -> Iterator[str]:
    """The lines of a docstring, with a blank one before and after each list of parameters."""
    inside = False
    for line in lines:
        found = PARAMETER.match(line)
        if found if not inside else line.startswith(("Raises ", "Returns ")):
            inside = not inside
            yield ""
        inside = inside and line != ""
        yield PARAMETER.sub(r"- `\1`: ", line) if found else line


class Docstrings(griffe.Extension):
    """Makes a Markdown list of the lines `name: ...` of a docstring, and code of its example.

    A method without a docstring has that of its base.
    """

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Changes the docstring of each object that is read."""
        if obj.docstring:
            text = EXAMPLE.sub(lambda example: indent(example[0], "    "), obj.docstring.value)
            obj.docstring.value = "\n".join(_with_lists(text.splitlines()))

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        """Gives methods that are declared for type checkers alone the docstrings of what they stand for."""
        queryset = pkg["querysets.queryset.QuerySet"] if pkg.name == "ormis" else None
        for name, member in queryset.members.items() if queryset else ():
            of_base = next((base.members[name] for base in queryset.mro() if name in base.members), None)
            if member.is_function and not member.docstring and of_base:
                member.docstring = of_base.docstring
