"""The local network by itself against GLIA-Net with its gates wide open."""

import torch

from glianet.network import GLIANet
from training.models.local_only import LocalNetwork


def test_it_is_glianet_with_open_gates() -> None:
    torch.manual_seed(1)
    whole, local = GLIANet().eval(), LocalNetwork().eval()
    for gate in whole.localizer_adaptor:
        gate.conv.weight.data.zero_()
        gate.conv.bias.data.fill_(100.0)  # a sigmoid of 1
    result = local.load_state_dict(whole.state_dict(), strict=False)
    assert not result.missing_keys
    patches, location = torch.rand(2, 3, 24, 24, 24), torch.randn(2, 32, 6, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(local(patches), whole.segment(patches, location), rtol=0, atol=1e-6)


def test_parameters_are_those_of_glianet_less_the_global_network_and_the_gates() -> None:
    left_out = ("global_localizer.", "localizer_loss.", "localizer_adaptor.")
    kept = {name: p.numel() for name, p in GLIANet().named_parameters() if not name.startswith(left_out)}
    assert {name: p.numel() for name, p in LocalNetwork().named_parameters()} == kept
    assert sum(kept.values()) == 820_682
