# SPDX-License-Identifier: MIT
"""A headless Chromium with a profile of its own, or None and the reason why not."""

import shutil
import tempfile

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--hide-scrollbars", "--force-device-scale-factor=1")
# Time goes faster for the page: three minutes of history in seconds.
FASTER = """(() => {
  const factor = %d, now = performance.now.bind(performance), later = window.setTimeout.bind(window);
  performance.now = () => now() * factor;
  window.setTimeout = (call, delay) => later(call, delay / factor);
})();"""


def why_not():
    """Why there is no browser here, or None."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"no {program} here (scripts/packages.txt, group more)"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "no python3-selenium here (scripts/packages.txt, group more)"
    return None


class Browser:
    def __init__(self):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
        self.profile = tempfile.TemporaryDirectory(prefix="ringpool-page-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in (*ARGUMENTS, f"--user-data-dir={self.profile.name}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.faster = None

    def close(self):
        self.driver.quit()
        self.profile.cleanup()

    def command(self, name, **parameters):
        return self.driver.execute_cdp_cmd(name, parameters)

    def resize(self, width, height=900):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                     mobile=False)

    def colours(self, scheme):
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, address, faster=1):
        if self.faster:
            self.command("Page.removeScriptToEvaluateOnNewDocument", identifier=self.faster)
        self.faster = None
        if faster != 1:
            self.faster = self.command("Page.addScriptToEvaluateOnNewDocument", source=FASTER % faster)["identifier"]
        self.driver.get(f"http://{address}/")

    def run(self, script, *arguments):
        return self.driver.execute_script("return " + script, *arguments)

    def text(self, selector):
        return self.run("document.querySelector(arguments[0]).innerText", selector)

    def console(self):
        """Messages since the last call."""
        return [one["message"] for one in self.driver.get_log("browser")]

    def picture(self, path, whole=True):
        import base64
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        taken = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole,
                             **({"clip": clip} if whole else {}))
        with open(path, "wb") as file:
            file.write(base64.b64decode(taken["data"]))
