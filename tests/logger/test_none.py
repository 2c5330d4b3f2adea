from lt_calib.logger.none import NoLogger
from lt_calib.logger.wandb import WandbLogger


def test_it_has_what_every_logger_has(tmp_path):
    logger = NoLogger(config={}, folder=tmp_path, group="g", tags=[])
    logger.log_epoch({})
    logger.log_results({}, [], {})
    logger.finish(0)
    public = {name for name in vars(WandbLogger) if not name.startswith("_")}
    assert public == {name for name in vars(NoLogger) if not name.startswith("_")}
    assert not any(tmp_path.iterdir())
