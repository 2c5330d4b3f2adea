import torch

from lt_calib.seed import generator


def draw(*args, **kwargs) -> float:
    return float(torch.rand((), dtype=torch.float64, generator=generator(*args, **kwargs)))


def test_each_argument_changes_the_draw_and_nothing_else_does():
    base = {"stage": 1, "epoch": 2, "step": 3, "rank": 0}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    drawn = [draw(0, "a", **base), draw(1, "a", **base), draw(0, "b", **base)]
    drawn += [draw(0, "a", **(base | {key: 9})) for key in base]
    assert len(set(drawn)) == len(drawn)
    assert draw(0, "a", **base) == drawn[0]
    assert torch.equal(torch.get_rng_state(), state)
