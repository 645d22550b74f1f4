"""How big the HTML report is, how long it takes to write, and how fast it sorts in a browser.

    python benchmarks/report_size.py             # one run: 946 prompts x 5 samples x 16 dimensions
    python benchmarks/report_size.py --runs 5

Every record is there, without media. Sorting is timed from the press to the finished layout in
Chromium (skipped where there is none): the ranking, and the table of prompts.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.published import published_rows
from vbench_long.leaderboard.report import report_html
from vbench_long.leaderboard.scores import SCALES
from vbench_long.records import Manifest, Record, Sample, Status
from vbench_long.store import Run

_PRESS = """
const header = document.querySelector(arguments[0]);
const times = [];
for (let i = 0; i < 12; i++) {
  const start = performance.now();
  header.click();
  document.body.offsetHeight;
  times.push(performance.now() - start);
}
return times;
"""


def make_run(number: int, prompts: int, samples: int) -> Run:
    """A run in which every video is judged on every dimension by a drawn score."""
    rng = np.random.default_rng(number)
    planned, records = [], []
    for k in range(prompts):
        # The official prompts have 41 letters on average; their files are named after them.
        prompt = f"a person {k:03} is doing something by the sea"
        for index in range(samples):
            video = f"{prompt}-{index}.mp4"
            planned.append(Sample(video, prompt, index, f"videos/{video}", dimensions=(*SCALES,)))
            for name, value in zip(SCALES, rng.random(len(SCALES)).tolist(), strict=True):
                clips = [{"start": 0, "stop": 16, "scene": 0, "value": value}]
                records.append(Record(video, name, Status.OK, value, parts={"clips": clips}))
    protocol = {"backend": "reference", "clips": "exact"}
    manifest = Manifest(f"model {number}", {}, protocol, {}, (*SCALES,), "complete", "")
    return Run(Path(f"run{number}"), manifest, tuple(planned), tuple(records), {})


def browse(page: Path) -> dict[str, list[float]]:
    """Open the page and press headers; milliseconds to load and per press."""
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        return {}
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
        try:
            chrome.get(page.as_uri())
            loaded = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
            return {
                "load": [chrome.execute_script(loaded)],
                "sort the ranking": chrome.execute_script(
                    _PRESS, "table.board th[data-column=motion_smoothness] button"
                ),
                "sort the prompts": chrome.execute_script(
                    _PRESS, "#detail-prompts thead th:nth-child(3) button"
                ),
            }
        finally:
            chrome.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--prompts", type=int, default=946)
    parser.add_argument("--samples", type=int, default=5)
    args = parser.parse_args()
    runs = [make_run(number, args.prompts, args.samples) for number in range(args.runs)]
    started = perf_counter()
    board = build(runs, published=published_rows())
    built = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "index.html"
        page.write_text(report_html(board, page.parent, "none"), encoding="utf-8")
        done = perf_counter()
        size = page.stat().st_size
        packed = len(gzip.compress(page.read_bytes()))
        print(f"records            {sum(len(run.records) for run in runs):10,}")
        print(f"statistics         {built - started:10.2f} s")
        print(f"page               {done - built:10.2f} s")
        print(f"size               {size / 1e6:10.2f} MB ({packed / 1e6:.2f} MB zipped)")
        for what, times in browse(page).items():
            print(f"{what:18} {statistics.median(times):10.1f} ms, at most {max(times):.1f}")


if __name__ == "__main__":
    main()
