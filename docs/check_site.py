"""Check the built site: every link within it leads somewhere, and it loads nothing from elsewhere.

python docs/check_site.py docs/_build
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"audio", "iframe", "img", "link", "script", "source", "video"}
NOT_LOADED = {"canonical", "next", "prev", "search", "index", "author", "copyright"}


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what it loads.

    Attributes
    ----------
    anchors : set of str
    links : set of str
        Addresses as they are written.
    loads : set of str
        Those that a browser follows by itself.
    """

    def __init__(self, file):
        super().__init__()
        self.anchors, self.links, self.loads = {"", "top"}, set(), set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Note what the tag names and where it leads."""
        given = dict(attrs)
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        addresses = {given[key] for key in ("href", "src", "poster") if given.get(key)}
        self.links |= addresses
        if tag in LOADED and not NOT_LOADED & set((given.get("rel") or "").split()):
            self.loads |= addresses


def problems(site):
    """Yield a line for everything that is wrong."""
    files = [file for file in site.rglob("*.html") if "_static" not in file.parts]
    pages = {file.resolve(): Page(file) for file in files}
    for file, page in pages.items():
        name = file.relative_to(site.resolve())
        for link in sorted(page.links):
            address = urlsplit(link)
            if address.scheme or address.netloc:
                if link in page.loads and address.scheme != "data":
                    yield f"{name} loads {link} from elsewhere"
                continue
            target = (file.parent / unquote(address.path)).resolve() if address.path else file
            if not target.is_file():
                yield f"{name}: no file for {link}"
            elif target in pages and unquote(address.fragment) not in pages[target].anchors:
                yield f"{name}: no anchor for {link}"


def main():
    """Print the problems; return the status for the shell."""
    site = Path(sys.argv[1])
    found = list(problems(site))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(list(site.rglob('*.html')))} pages, {len(found)} problems")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
