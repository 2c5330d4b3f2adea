"""The page in a real browser, without a network. Slow: make test-all, where Chromium is installed."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lt_calib.report.by_factor import by_factor
from lt_calib.report.columns import usual
from lt_calib.report.figures import draw_comparisons
from lt_calib.report.page import page
from lt_calib.report.rows import summarise
from tests.report.test_tables import run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=4000",
]  # fmt: skip
PROBE = """
<script>
const seen = {errors: window.seenErrors};
const table = document.querySelector("table");
const heads = [...table.querySelectorAll("th")];
const column = name => heads.findIndex(head => head.textContent === name);
const values = name => [...table.querySelectorAll("tbody tr")].map(row => row.cells[column(name)].textContent);
heads[column("acc")].click(); seen.up = values("acc");
heads[column("acc")].click(); seen.down = values("acc");
heads[column("method")].click(); seen.methods = values("method");
window.addEventListener("load", () => {
  seen.widths = [...document.images].map(image => image.naturalWidth);
  const out = document.createElement("pre");
  out.id = "probe"; out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(seen))));
  document.body.append(out);
});
</script>
"""
ERRORS = "<script>window.seenErrors = []; window.onerror = text => { window.seenErrors.push(text) };</script>"


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_it_opens_sorts_and_shows_its_figures(tmp_path: Path):
    runs = [run(tmp_path, name, skill, noise=i) for i, (name, skill) in enumerate([("b", 2.0), ("a", 1.0), ("c", 3.0)])]
    rows = summarise(runs)
    paths = draw_comparisons(rows, tmp_path / "figures")
    text = page(rows, usual(rows), by_factor(rows), paths, [], "test set", tmp_path)
    probed = text.replace("<style>", ERRORS + "<style>").replace("</body>", PROBE + "</body>")
    (tmp_path / "page.html").write_text(probed, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [*command, f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'<pre id="probe">([^<]+)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    seen = json.loads(base64.b64decode(found[1]))
    assert seen["errors"] == []
    numbers = [float(value) for value in seen["up"]]
    assert numbers == sorted(numbers)
    assert [float(value) for value in seen["down"]] == sorted(numbers, reverse=True)
    assert seen["methods"] == ["a", "b", "c"]
    assert len(seen["widths"]) == len(paths)
    assert all(width > 100 for width in seen["widths"])
