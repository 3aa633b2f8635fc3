"""A headless Chromium, driven over a pipe by its DevTools protocol."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time

SECONDS = 60  # for an answer; a busy machine is slow
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


def path():
    """Path of the browser; None if it is not installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Chromium:
    """A browser with one page.

    Attributes:
        complaints: Errors, warnings and policy violations of the page's console.
        requests: Addresses that the page requested, its own first.
    """

    def __init__(self, profile):
        """Starts the browser with its profile in an empty folder."""
        read_commands, self._commands = os.pipe()
        self._answers, write_answers = os.pipe()

        def connect():  # the browser reads commands from 3 and writes answers to 4
            held = os.dup(read_commands), os.dup(write_answers)
            os.dup2(held[0], 3)
            os.dup2(held[1], 4)

        self._process = subprocess.Popen(
            [path(), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=connect,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session = None
        self.complaints = []
        self.requests = []
        self._loaded = False
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def open(self, address, width, height=900, dark=False):
        """Loads a page in a window of the given size in pixels."""
        self.complaints.clear()
        self.requests.clear()
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,  # a mobile one widens its view until a page that is too wide fits
        )
        self.ask("Emulation.setScrollbarsHidden", hidden=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media="screen", features=[scheme])
        self._loaded = False
        self.ask("Page.navigate", url=address)
        end = time.monotonic() + SECONDS
        while not self._loaded:
            self._receive(end)

    def run(self, script):
        """The value of a JavaScript expression in the page; a promise is awaited."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, key):
        """Presses a key of the keyboard."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def screenshot(self, file):
        """Writes the whole page as PNG."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, file):
        """Writes the page as printed."""
        self.ask("Emulation.setEmulatedMedia", media="", features=[])
        answer = self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        file.write_bytes(base64.b64decode(answer["data"]))

    def close(self):
        """Ends the browser."""
        self._process.terminate()
        self._process.wait(SECONDS)
        os.close(self._commands)
        os.close(self._answers)

    def ask(self, method, **parameters):
        """Calls a method of the protocol; returns its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while True:
            answer = self._receive(end)
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]

    def _receive(self, end):
        while b"\0" not in self._rest:
            if not select.select([self._answers], [], [], max(end - time.monotonic(), 0))[0]:
                raise AssertionError(f"Chromium has not answered for {SECONDS} s")
            received = os.read(self._answers, 1 << 20)
            if not received:
                raise AssertionError("Chromium ended")
            self._rest += received
        line, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(line)
        self._note(message.get("method"), message.get("params"))
        return message

    def _note(self, event, parameters):
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"])
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(parameters["args"])
        elif event == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
