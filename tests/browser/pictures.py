"""Takes the pictures of docs/images: `python -m tests.browser.pictures`. The page is the real one, on a mesh of its own."""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from tests import mesh as mesh_module
from tests.browser.conftest import ARGUMENTS, MODELS, WEB
from tests.browser.ensure import MISSING, find_chromium
from tests.browser.prose import Prose
from tests.mesh import ROOT

IMAGES = ROOT / "docs" / "images"
TIDE = "Explain how a tide works, in five points."
TAKEN: list[str] = []
CODE = "Write a Python function that merges overlapping intervals, with a test."


async def main() -> None:
    """All pictures."""
    executable = find_chromium()
    if executable is None:
        sys.exit(MISSING)
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        models = home / "models.toml"
        models.write_text(MODELS, "utf-8")
        async with Prose(rate=45) as prose:
            mesh = await asyncio.to_thread(
                lambda: mesh_module.start(
                    home / "mesh",
                    scale="inference=2",
                    demo=True,
                    environment={
                        "OPENAI_BASE_URL": prose.base_url,
                        "OPENAI_API_KEY": "none",
                        "EVERTHREAD_MODELS_FILE": str(models),
                        "EVERTHREAD_PAGE_FOLDER": str(WEB / "dist"),
                    },
                )
            )
            try:
                async with async_playwright() as playwright:
                    browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
                    await _take(browser, mesh.urls[0])
                    await browser.close()
            finally:
                await asyncio.to_thread(mesh.stop)
    _shrink()


async def _take(browser: Browser, url: str) -> None:
    wide = await browser.new_context(viewport={"width": 1240, "height": 760})
    page = await wide.new_page()
    await page.goto(url)
    await page.wait_for_selector("#composer")
    await _shot(page, "new-chat")
    for earlier in ("Plan a weekend in Lisbon", "Why do letters to lighthouses arrive?"):
        await page.goto(url)
        await _ask(page, earlier, wait=False)
        await page.wait_for_timeout(400)
    await page.goto(url)
    await _ask(page, TIDE)
    await _shot(page, "chat")
    await page.goto(url)
    await _ask(page, CODE, wait=False)
    await page.wait_for_timeout(1500)
    await page.keyboard.press("Control+.")
    await page.get_by_role("button", name="Kill its worker").click()
    await page.get_by_text("worker lost, continued").wait_for()
    await page.wait_for_timeout(900)
    await _shot(page, "worker-killed")
    await _ended(page)
    await page.get_by_role("tab", name="Run", exact=True).click()
    await page.get_by_text("text = stored").wait_for()
    await page.wait_for_timeout(300)
    await _shot(page, "run")
    thread = page.url.split("?")[0]
    await _console(browser, url)
    await page.get_by_role("button", name="Developer panel").click()
    await _shared(browser, page)
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox").wait_for()
    await _shot(page, "commands")
    await wide.close()

    dark = await browser.new_context(viewport={"width": 1240, "height": 760}, color_scheme="dark")
    page = await dark.new_page()
    await page.goto(thread)
    await _ended(page)
    await _shot(page, "dark")
    await dark.close()

    phone = await browser.new_context(
        viewport={"width": 390, "height": 780}, color_scheme="dark", has_touch=True, is_mobile=True
    )
    page = await phone.new_page()
    await page.goto(thread)
    await _ended(page)
    await _shot(page, "phone")
    await page.get_by_role("button", name="Chats").click()
    await page.wait_for_timeout(400)
    await _shot(page, "phone-chats")
    await phone.close()


async def _console(browser: Browser, url: str) -> None:
    """The newest run, in the console."""
    context = await browser.new_context(viewport={"width": 1240, "height": 560})
    page = await context.new_page()
    await page.goto(f"{url}/console")
    await page.get_by_role("button", name="Open it as an administrator").click()
    await page.get_by_role("link", name="Runs", exact=True).click()
    await page.locator("tr[data-run] a").first.click()
    await page.get_by_role("rowheader", name="storing the answer").wait_for()
    await page.wait_for_timeout(300)
    await _shot(page, "console")
    await context.close()


async def _shared(browser: Browser, page: Page) -> None:
    """The thread on the screen with somebody else in it, who types."""
    await page.locator("button.who").click()
    await page.get_by_label("Who has it").select_option("editor")
    await page.get_by_role("button", name="Make a link").click()
    link = await page.get_by_role("textbox", name="Link").input_value()
    context = await browser.new_context(viewport={"width": 1240, "height": 760})
    await context.add_init_script('localStorage.setItem("everthread.user", JSON.stringify("guest"));')
    guest = await context.new_page()
    await guest.goto(link)
    await guest.get_by_role("button", name="Join").click()
    await guest.locator("#composer").press_sequentially("And what if they touch?")
    await page.locator("li[data-member]").get_by_text("types").wait_for()
    await _shot(page, "people")
    await page.keyboard.press("Escape")
    await context.close()


async def _ask(page: Page, text: str, *, wait: bool = True) -> None:
    await page.wait_for_selector("#composer")
    await page.fill("#composer", text)
    await page.keyboard.press("Enter")
    if wait:
        await _ended(page)


async def _ended(page: Page) -> None:
    await page.locator(".message.assistant[data-status=complete]").last.wait_for(timeout=60_000)
    await page.wait_for_timeout(700)


async def _shot(page: Page, name: str) -> None:
    await page.screenshot(path=str(IMAGES / f"{name}.png"), animations="disabled")
    TAKEN.append(name)
    print(f"docs/images/{name}.png", flush=True)


def _shrink() -> None:
    """Fewer colours where pngquant is installed: half the size, and nothing to be seen of it."""
    for path in (IMAGES / f"{name}.png" for name in TAKEN):
        try:
            subprocess.run(
                ["pngquant", "--force", "--skip-if-larger", "--output", str(path), "128", str(path)], check=False
            )
        except FileNotFoundError:
            return


if __name__ == "__main__":
    asyncio.run(main())
