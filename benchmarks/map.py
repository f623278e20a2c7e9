"""A map of a million points in a real browser: `python -m benchmarks.map [FEATURES ...]`, minutes.

A store of synthetic features (places in clusters, densities and rules for all), served as always
and opened in the headless Chromium that the tests use. Measured: bytes that the server sends, time
from the click to the first drawing, and frames per second while the pointer drags the map about,
counted by requestAnimationFrame. Where a machine has no graphics processor, Chromium draws with the
processor (SwiftShader, the line says so): the page then draws fewer points while the map moves, and
all of them when it stands still. `all points` is the same with every point in every frame.

With `layout FEATURES D_IN`, instead: what `featurescope map` takes for random directions.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from app.store import database
from app.store.blobs.codec import pack_numbers, pack_summary, pack_tokens
from app.store.schema import (
    StoredFeature,
    StoredHarvest,
    StoredRule,
    StoredWindow,
    StoredWindowSet,
)
from app.store.store import Store
from app.store.tables.bulk import bulk_insert
from app.store.types.maps import GRID
from app.worker.client.streaming import AsyncWorkerClient
from benchmarks.store import N_TOKENS
from tests import factories
from tests.app.pretend.served import Served

SIZES = (4096, 1_000_000)
SECONDS = 5.0
# Drags the map in circles by real pointer events, one a frame; the times between frames.
PAN = """async (seconds) => {
  const canvas = document.getElementById("map-canvas");
  const box = canvas.getBoundingClientRect();
  const tell = (kind, angle) => canvas.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, button: 0, bubbles: true,
    clientX: box.x + box.width * (0.5 + 0.2 * Math.cos(angle)),
    clientY: box.y + box.height * (0.5 + 0.2 * Math.sin(angle)),
  }));
  canvas.setPointerCapture = () => {};
  const frame = () => new Promise(requestAnimationFrame);
  tell("pointerdown", 0);
  const times = [await frame()];
  while (times.at(-1) - times[0] < 1000 * seconds) {
    tell("pointermove", times.length / 20);
    times.push(await frame());
  }
  tell("pointerup", times.length / 20);
  return times;
}"""
# Every point in every frame: the browser's calls to draw, with the steps taken out.
ALL_POINTS = """() => {
  for (const kind of [WebGL2RenderingContext, WebGLRenderingContext]) {
    const { drawArrays, vertexAttribPointer } = kind.prototype;
    kind.prototype.vertexAttribPointer = function (at, size, type, normal, stride, offset) {
      this.step = Math.max(1, stride / (size === 2 ? 4 : 1));
      return vertexAttribPointer.call(this, at, size, type, normal, stride / this.step, offset);
    };
    kind.prototype.drawArrays = function (mode, first, count) {
      const all = count > 1000 ? window.points : count;
      return drawArrays.call(this, mode, first, Math.max(count, all));
    };
  }
}"""


def main(arguments: Sequence[str] = ()) -> int:
    """Measure and print."""
    if arguments and arguments[0] == "layout":
        return layout(int(arguments[1]), int(arguments[2]))
    print(f"map, headless Chromium, {os.cpu_count()} cores, {platform.machine()}")
    for count in map(int, arguments or SIZES):
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
            engine = database.connect(f"sqlite:///{folder}/store.db")
            database.upgrade(engine)
            place = fill(engine, count)
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("TEST_BROWSER") or shutil.which("chromium")
            )
            with Served(Store(engine), Path(folder), AsyncWorkerClient(lambda: None)) as address:
                measure(browser, f"{address}/d/bench/wide/map", count, *place)
            browser.close()
            engine.dispose()
    return 0


def fill(engine: Any, count: int) -> tuple[float, float]:
    """A store with one dictionary of so many features, and its map; the place of one of them."""
    store, rng = Store(engine), np.random.default_rng(0)
    store.add_model(factories.model("bench"))
    store.add_corpus(factories.corpus())
    store.add_dictionary(factories.dictionary("wide", "bench", d_sae=count))
    view = store.dictionary("bench", "wide")
    windows = factories.windows()
    summaries = [pack_summary(factories.feature(n, windows)) for n in (0, 1, 2, 4)]
    firings = np.clip(rng.lognormal(5, 2, count), 1, N_TOKENS).astype(int).tolist()
    f1 = rng.random(count).tolist()
    nothing = pack_numbers(np.zeros(0, np.int64))
    with database.writing(engine, alone=True) as connection:
        bulk_insert(connection, StoredWindowSet, [(1, view.model_id, 1, 32)])
        shown = ((1, w.number, w.line, "a text", pack_tokens(w.tokens)) for w in windows)
        bulk_insert(connection, StoredWindow, shown)
        harvest = (view.id, 1, "0" * 64, 0, N_TOKENS, 8192, count, "{}", nothing)
        bulk_insert(connection, StoredHarvest, [harvest])
        bulk_insert(
            connection,
            StoredFeature,
            (
                (view.id, *(6 * [n]), firings[n], 1.0, None, None, "", summaries[n % 4], b"")
                for n in range(count)
            ),
        )
        rules = ((view.id, n, n, n, f1[n], n % 2, "a rule", "[]", "{}") for n in range(count))
        bulk_insert(connection, StoredRule, rules)
    middles = rng.random((max(1, count // 500), 2))
    spread = 0.3 / np.sqrt(len(middles))
    places = middles[rng.integers(0, len(middles), count)] + spread * rng.normal(size=(count, 2))
    places -= places.min(axis=0)
    made = np.rint(GRID * places / places.max()).astype(np.uint16)
    about = {"method": "synthetic", "neighbours": 0, "seed": 0, "umap_learn": "-", "placed": count}
    store.maps.save(view, made, np.zeros(0, np.uint16), about)
    x, y = (made[count // 2] / GRID).tolist()
    return x, y


def measure(browser: Browser, address: str, count: int, x: float, y: float) -> None:
    """Open the map twice, as a newcomer and again, and drag it about."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    for visit in ("first visit", "again"):
        sent = traffic(page)
        began = time.perf_counter()
        page.goto(address, timeout=300_000, wait_until="commit")
        page.wait_for_selector("#map[data-drawn]", state="attached", timeout=300_000)
        drawn = page.evaluate(
            "() => new Promise((r) => requestAnimationFrame(() => r(performance.now())))"
        )
        page.wait_for_selector("#map[data-ready]", state="attached", timeout=300_000)
        coloured = page.evaluate("performance.now()")
        taken = time.perf_counter() - began
        if visit == "first visit":
            said = renderer(page)
            print(f"  {count:,} points, {said}")
        parts = ", ".join(f"{name} {size:,}" for name, size in sorted(sent.items()))
        print(
            f"    {visit}: points drawn {drawn / 1e3:.2f} s after the page began to load, in their "
            f"colours {coloured / 1e3:.2f} s ({taken:.2f} s in all)"
        )
        print(f"      {sum(sent.values()):,} bytes sent ({parts})")
    page.wait_for_timeout(1500)
    fps(page, "panning")
    page.wait_for_timeout(1500)
    step = page.evaluate("() => Number(document.getElementById('map').dataset.step)")
    print(f"      drawn while it moves: one point in {step}, {count // step:,} of {count:,}")
    box = page.locator("#map-canvas").bounding_box()
    assert box
    page.locator("#map-canvas").press("0")
    page.wait_for_timeout(2000)
    before = page.evaluate("performance.now()")
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.wait_for_selector("#map-card:not([hidden])", timeout=60_000)
    waited = page.evaluate("performance.now()") - before
    print(f"    pointing at a point, to its card with the context: {waited:.0f} ms")
    page.close()
    page = context.new_page()
    page.add_init_script(f"window.points = {count}; ({ALL_POINTS})()")
    page.goto(address, timeout=300_000, wait_until="commit")
    page.wait_for_selector("#map[data-ready]", state="attached", timeout=300_000)
    page.wait_for_timeout(1500)
    fps(page, "panning, all points in every frame")
    context.close()


def fps(page: Page, what: str) -> None:
    """Drag and print."""
    times = np.diff(page.evaluate(PAN, SECONDS))
    later = times[len(times) // 5 :]  # once the page knows how fast it draws
    print(
        f"    {what}: {1e3 / times.mean():.1f} frames per second over {SECONDS:.0f} s, "
        f"{1e3 / later.mean():.1f} after the first fifth; "
        f"p95 of a frame {np.percentile(later, 95):.0f} ms, longest {times.max():.0f} ms"
    )


def traffic(page: Page) -> dict[str, int]:
    """Bytes that arrive from now on, headers included, by what they are."""
    sent: dict[str, int] = {}
    kinds: dict[str, str] = {}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")

    def answered(event: Any) -> None:
        path = event["response"]["url"].partition("://")[2].partition("/")[2].partition("?")[0]
        api = path.startswith("api/")
        kinds[event["requestId"]] = (
            path.rpartition("/")[2] if api else "page" if path.startswith("d/") else "static"
        )

    def ended(event: Any) -> None:
        name = kinds.get(event["requestId"], "other")
        sent[name] = sent.get(name, 0) + int(event["encodedDataLength"])

    session.on("Network.responseReceived", answered)
    session.on("Network.loadingFinished", ended)
    return sent


def renderer(page: Page) -> str:
    """Who draws, as WebGL says it."""
    said: str = page.evaluate(
        "() => { const gl = document.createElement('canvas').getContext('webgl');"
        "const info = gl.getExtension('WEBGL_debug_renderer_info');"
        "return gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER); }"
    )
    return said


def layout(count: int, d_in: int) -> int:
    """What laying out takes: time of each part, and the peak of memory."""
    import torch

    from app.settings import read_settings
    from sae_core.dictionaries.architectures.standard import StandardDictionary
    from sae_core.evaluation.feature_map import lay_out

    device = read_settings().device
    dictionary = StandardDictionary("blocks.0.hook_resid_post", d_in, count).requires_grad_(False)
    groups = torch.randn(max(1, count // 100), d_in, generator=torch.Generator().manual_seed(0))
    torch.randn(count, d_in, out=dictionary.W_dec.data)
    dictionary.W_dec.data += groups[torch.arange(count) % len(groups)]
    began = time.perf_counter()
    lay_out(dictionary.to(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"map, {count:,} directions in {d_in:,} dimensions on {device}: "
        f"{time.perf_counter() - began:.0f} s, {peak:.1f} GiB at most"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
