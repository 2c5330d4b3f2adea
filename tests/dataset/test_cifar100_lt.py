from lt_calib.settings.check import check_keys


def test_settings_of_both_data_sets(composed):
    ten = composed("dataset=cifar10_lt", "+experiment=cutout_awabs")
    hundred = composed("dataset=cifar100_lt", "+experiment=cutout_awabs")
    for cfg in (ten, hundred):
        check_keys(cfg)
    assert hundred.dataset.mean == ten.dataset.mean
    assert (ten.augment.size, hundred.augment.size) == (16, 8)
    assert (list(ten.dataset.groups), list(hundred.dataset.groups)) == ([3, 7], [36, 71])
    assert (ten.stage2.shift_bn, hundred.stage2.shift_bn) == (False, True)
