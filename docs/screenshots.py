"""Take a picture of every page of the built site, and say what is wrong with it in a browser.

Each page is opened in Chromium: on a desktop, on a telephone, and on a desktop in the dark.
Pages that are wider than the window, requests that fail or leave the site, and errors on the
console are printed, and end the script with status 1.

    pip install playwright
    python docs/screenshots.py docs/_build docs/_screenshots
    python docs/screenshots.py docs/_build docs/_screenshots --only user_guide
"""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

VIEWS = {  # name: width, height, colour scheme
    "desktop": (1280, 900, "light"),
    "narrow": (390, 844, "light"),
    "dark": (1280, 900, "dark"),
}
TALLEST = 12000  # pixels; Chromium cannot take a picture of more than some 16 000
WIDTH = "document.documentElement.scrollWidth"
HEIGHT = "document.documentElement.scrollHeight"


def arguments():
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built pages")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("--only", default="", help="only pages whose path contains this")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser")
    return parser.parse_args()


def picture(page, address, file):
    """Save a picture of the page, and yield what is wrong with it."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    width = page.viewport_size["width"]
    height = min(page.evaluate(HEIGHT), TALLEST)
    if page.evaluate(WIDTH) > width:
        yield f"is {page.evaluate(WIDTH)} pixels wide"
    file.parent.mkdir(parents=True, exist_ok=True)
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    page.screenshot(path=file, full_page=True, clip=clip)


def watched(browser, width, height, scheme, problems):
    """A page of that size which notes in `problems` what fails on it."""
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme
    )
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(f"cannot load {request.url}"))
    page.on(
        "request",
        lambda r: problems.append(f"loads {r.url}") if r.url.startswith("http") else None,
    )
    return page


def main():
    """Take all pictures; return the status for the shell."""
    given = arguments()
    site = given.site.resolve()
    files = [f for f in sorted(site.rglob("*.html")) if given.only in f.relative_to(site).as_posix()]
    n_problems = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=given.chromium, args=["--no-sandbox"]
        )
        for view, setting in VIEWS.items():
            problems = []
            page = watched(browser, *setting, problems)
            for file in files:
                name = file.relative_to(site).with_suffix("")
                found = picture(page, file.as_uri(), given.out / view / f"{name}.png")
                problems.extend(found)
                for problem in problems:
                    print(f"{view}: {name}: {problem}", flush=True)
                n_problems += len(problems)
                problems.clear()
        browser.close()
    print(f"{len(files)} pages in {given.out}, {n_problems} problems")
    return int(n_problems > 0)


if __name__ == "__main__":
    sys.exit(main())
