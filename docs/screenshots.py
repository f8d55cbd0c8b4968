"""Take a picture of every page of the built site, and say what is wrong with it in a browser.

Each page is opened in Chromium: on a desktop, on a telephone, and on a desktop in the dark.
Pages that are wider than the window, files that cannot be loaded or lie on other servers, and
errors on the console are printed, and end the script with status 1.

    pip install playwright
    python docs/screenshots.py docs/_build docs/_screenshots
    python docs/screenshots.py docs/_build docs/_screenshots --only user_guide
"""

import argparse
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

VIEWS = {  # name: width, height, colour scheme
    "desktop": (1280, 900, "light"),
    "narrow": (390, 844, "light"),
    "dark": (1280, 900, "dark"),
}
TALLEST = 15000  # pixels; Chromium cannot take a picture of more than some 16 000
WIDTH, HEIGHT = (f"document.documentElement.scroll{side}" for side in ("Width", "Height"))
# The theme says so on the first page, whose mode nobody has chosen.
HARMLESS = "Got invalid theme mode"


class Silent(SimpleHTTPRequestHandler):
    """Serves a folder and prints nothing."""

    def log_message(self, *_):
        """Keep quiet."""


def arguments():
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built pages")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("--only", default="", help="only pages whose path contains this")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser")
    return parser.parse_args()


def serve(site):
    """Serve the folder to this machine, and return its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def open_window(browser, setting, address, problems):
    """Return a window of that size, which notes in the list `problems` what fails in it."""
    width, height, scheme = setting
    window = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)

    def console(message):
        if message.type == "error" and HARMLESS not in message.text:
            problems.append(message.text)

    def request(found):
        if not found.url.startswith((address, "data:", "blob:")):
            problems.append(f"loads {found.url}")

    window.on("console", console)
    window.on("request", request)
    window.on("pageerror", lambda error: problems.append(str(error)))
    window.on("requestfailed", lambda failed: problems.append(f"cannot load {failed.url}"))
    return window


def take_picture(window, address, file, problems):
    """Save a picture of the page at this address."""
    window.goto(address, wait_until="load")
    window.wait_for_timeout(150)  # formulas are typeset after loading
    width = window.viewport_size["width"]
    height = min(window.evaluate(HEIGHT), TALLEST)
    if window.evaluate(WIDTH) > width:
        problems.append(f"is {window.evaluate(WIDTH)} pixels wide in a window of {width}")
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    window.screenshot(path=file, full_page=True, clip=clip)


def main():
    """Take all pictures; return the status for the shell."""
    given = arguments()
    names = [path.relative_to(given.site).as_posix() for path in given.site.rglob("*.html")]
    names = [n for n in sorted(names) if given.only in n and not n.startswith("_static/")]
    address, n_problems = serve(given.site), 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        for view, setting in VIEWS.items():
            problems = []
            window = open_window(browser, setting, address, problems)
            for name in names:
                file = (given.out / view / name).with_suffix(".png")
                take_picture(window, f"{address}/{name}", file, problems)
                for problem in problems:
                    print(f"{view}: {name}: {problem}", flush=True)
                n_problems += len(problems)
                problems.clear()
        browser.close()
    print(f"{len(names)} pages in {given.out}, {n_problems} problems")
    return int(n_problems > 0)


if __name__ == "__main__":
    sys.exit(main())
