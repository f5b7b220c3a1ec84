"""Executes pages of Markdown: every block of Python in a page, in order, and compares the output of its sessions."""

import doctest
import re
from typing import Any

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def execute(markdown: str, namespace: dict[str, Any]) -> int:
    """Executes the Python blocks of a page in one namespace, and returns their number.

    Raises AssertionError if the output differs from the page.
    """
    parser, blocks, page = doctest.DocTestParser(), [*BLOCK.finditer(markdown)], f"{namespace['__name__']}.md"
    for block in blocks:
        line = markdown.count("\n", 0, block.start()) + 1
        if not block[1].startswith(">>>"):
            exec(compile("\n" * line + block[1], page, "exec", dont_inherit=True), namespace)
            continue
        report: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
        test = parser.get_doctest(block[1], namespace, page, page, line)
        runner.run(test, out=report.append, clear_globs=False)
        namespace.update(test.globs)
        assert not runner.failures, "".join(report)
    return len(blocks)
