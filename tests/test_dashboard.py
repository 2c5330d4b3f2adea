import json
from dataclasses import asdict

import pytest

from lt_calib import dashboard
from lt_calib.errors import InputError
from tests.test_run import FIGURES

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
LOGGED = {f"{s}/{k}/{m}" for s in ("stage1", "stage2") for k in ("test", "calibrated") for m in ("acc", "ece", "nll")}
GROUPED = {
    f"{s}/test/{m}_{g}" for s in ("stage1", "stage2") for m in ("acc", "ece") for g in ("head", "medium", "tail")
}


def names(panel: object, kind: str) -> set[str]:
    """What a panel reads: names of summary metrics, or of settings."""
    found = set()

    def walk(value: object) -> None:
        if type(value).__name__ == kind:
            found.add(str(value.name))  # type: ignore[attr-defined]
        elif isinstance(value, list):
            for part in value:
                walk(part)
        elif hasattr(value, "__dataclass_fields__"):
            for name in value.__dataclass_fields__:  # type: ignore[attr-defined]
                walk(getattr(value, name))

    walk(panel)
    return found


def test_panels_read_what_a_run_logs(composed):
    panels = [panel for group in dashboard.sections().values() for panel in group]
    read = set().union(*(names(panel, "SummaryMetric") for panel in panels))
    assert read <= LOGGED | GROUPED
    assert {"stage2/test/acc", "stage2/test/ece", "stage2/test/acc_tail"} <= read
    media = {key for panel in panels for key in getattr(panel, "media_keys", [])}
    assert media <= {f"figures/{name}" for name in FIGURES}
    assert len(media) == 4
    cfg = composed("+experiment=cutmix_awabs")
    for setting in set().union(*(names(panel, "Config") for panel in panels)):
        node = cfg
        for key in setting.split("."):
            node = node[key]


def test_both_pages_hold_every_section():
    titles = list(dashboard.sections())
    assert [section.name for section in dashboard.workspace("e", "p").sections] == titles
    page = dashboard.report("e", "p")
    assert [block.text for block in page.blocks if type(block).__name__ == "H2"] == titles
    assert json.dumps(asdict(page), default=str).count("eps_head") >= 1


def test_without_an_account_it_says_so_at_once_and_prompts_nothing(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr("builtins.input", lambda *a: pytest.fail("prompted"))
    with pytest.raises(InputError, match="needs an account"):
        dashboard.save("e", "p")
    monkeypatch.setenv("WANDB_API_KEY", "k")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(InputError, match="needs an account"):
        dashboard.save("e", "p")


def test_a_service_that_does_not_answer(monkeypatch):
    class Page:
        def save(self) -> None:
            raise ConnectionError("no network")

    monkeypatch.setenv("WANDB_API_KEY", "k")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(dashboard, "workspace", lambda entity, project: Page())
    with pytest.raises(InputError, match="did not take the pages: no network"):
        dashboard.save("e", "p")
