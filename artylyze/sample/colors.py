"""Palettes of the styles: three each, of which every artist keeps to one and shifts it a little."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

from .canvas import Color, Palette

# In the order of Palette: sky horizon far mid near dark light skin a b c
_TABLE: Mapping[str, tuple[str, str, str]] = {
    "Impressionism": (
        "8fb6dc f6dcc0 a3bfd0 8db884 5f9560 42507a fff6e0 f0c9ab eeb04a dd6f80 5b86c0",
        "8a96cc f9c9a0 98a4c8 7aa596 55867c 3c4478 fff2d6 f2c7a6 f4b63c e5707e 6a7fc8",
        "a9d4e4 eef1d6 9cc8a8 86ba60 56984f 36655a fffce8 f3cfb4 f4c64e ee8fae 6f8fd0",
    ),
    "Pointillism": (
        "86c0ec ffe2a8 9fd0c0 9ccb52 4fa04c 40488f fffbe0 f6cba0 ffb52e ef5f5c 3f86cf",
        "b0a8e4 ffd0b0 a8b8dc b6cc5a 6aa44a 4a3f86 fff6d8 f4c4a4 ff9c3a e2578c 5f7fd6",
        "9ad8d8 fff0b4 b4d4a0 c8d04c 78ac46 2f5a86 fffde6 f4d0aa f8c41e f07048 3aa0b4",
    ),
    "Cubism": (
        "b9ab90 d8c9a6 a39779 8c7c5c 63573f 2b2620 ece0c2 c9a67c b98a48 8a5a3c 6f7f82",
        "a7aaa4 cfcbbd 8e938f 767a76 545957 24282a e6e2d4 bfa68a a88658 7c5548 5f7480",
        "bfa583 dcc49c a58a63 8d6f4a 5d4a34 2a1f18 efdfbd cfa477 c28c3e 9a4f32 5f6f62",
    ),
    "Baroque": (
        "3c3428 7a5c34 4e422e 4a3a24 2e2418 0f0b08 f6dfae d9a06c b9822e 8e2b1e 2f4650",
        "2e3034 6b5238 40403a 3f3626 262019 0b0a0a f3d9a6 d79a66 c08a34 9c2f24 34503e",
        "44301f 85562c 553c24 4d3118 2f1d10 100805 f8dca4 dca06a c98a2a a0341c 4a4a52",
    ),
    "Ukiyo-e": (
        "9fc4c8 f0e2c0 8fb0a8 a8b88a 5f8a74 23304f f4ead0 efd3b0 d9a441 c4503c 33618f",
        "e8d3b0 f2b98a b0b79c b9b183 6f8a63 2a2a44 f6ecd2 eccfab dba23a b8432f 2f5f86",
        "b8cfd0 f3dfd0 9db4bc b4bc9a 5a7f86 1f2c52 f7f0dc f0d5b8 e0ad52 cd5a55 27538f",
    ),
    "Rococo": (
        "bfdbe8 fbe6dc c6d8cf bcd2b0 93b492 8a7480 fffaf0 fbdcc8 efcf8c eea3ac 9cc0da",
        "cfd6ee fde4e0 cfd2e0 c4d4b8 a2bc9a 84708c fffbf4 fcdfce f2d79a e9a0b8 a4b4de",
        "c8e4dc fdf0d8 cfe0c8 c8d8a6 a0bc86 86786a fffdf0 fce0c6 f0cc7c f0ac94 94c4c0",
    ),
    "Expressionism": (
        "1f4fa0 f08a1e 6a2f86 2f8a4a 14604a 120f24 ffe36a f0a84a f5b800 e0261c 1a6fc4",
        "c0261e f6b81c 8a1f4a d05a1a 3a6a2a 150c18 ffe98a eeb04c ffcf1a e8331e 2a4fae",
        "0f6a7a f4c430 2a3a8a c43a6a 1a5a4a 0f1024 fff08a f2a85a ff9a0a d81e4a 3a2fa6",
    ),
    "Minimalism": (
        "e9e6df f4f1ea d9d5cb c4bfb4 a29d92 3a3a3a fbfaf6 e3d8c9 d8a24a c8553d 5f7f8f",
        "e4e8ea f2f5f5 d0d6d8 b8c0c4 929ca2 33393d fafcfc dfdcd6 e0b04c b04a4a 3f6f9a",
        "ece4dc f7f0e8 dfd2c4 c9b8a6 a8927e 40362f fdf9f3 e8d4c0 cf9a5a a8503a 6a8a7a",
    ),
    "Pop Art": (
        "35b8e8 ffe94a ff8fc0 52d060 18a050 101018 ffffff ffcf9e ffd800 f52a3c 1f5fe0",
        "ff5fa2 ffe14a 4ad0d8 a05ae0 5030a8 0c0c14 fffdf0 ffd0a8 ffe600 ff3f2a 00a0d8",
        "ffd21f ff7a3a 40c8c0 ff4f8a 2a60c8 101010 fffef6 ffc99a ff9a00 e8203c 2a44d0",
    ),
    "Abstract Expressionism": (
        "d8d0c0 efe6d2 a8a294 8a8478 55504a 16151a f7f0e0 d9b48a e0a020 c8281e 1f4a8a",
        "c9b9a0 e8d6b6 b0865a 8a5a3a 4a3024 141012 f5e8cc d8a878 e8b030 b0301a 2a3a4a",
        "b8c4cc e2e4dc 8aa0ac 5f7a8a 34485a 10141c f4f2e6 d4b496 e8c040 d0482a 1a5a9a",
    ),
    "Realism": (
        "a8b9c2 ddd6c4 98a096 858662 5f5c3e 2c2822 f0e8d4 dcb28c ac8838 96442e 52707a",
        "94a6b2 cfc6b2 8b9482 757652 53513a 28231d ebe1c9 d2a57f b78a3c 8a3e30 5a7a70",
        "b4b8b4 e0d4bc a09c86 8f8458 665a3a 30281e f2e8d0 dab08a b88c40 94503a 607484",
    ),
    "Northern Renaissance": (
        "5f96b8 d4e2d2 6f9a94 4f7a44 2f5230 14160f f4e8c4 e3b48c c09030 a81e1c 1d4a72",
        "78a4b4 e2dcc0 7c9484 5f7a3c 3a5028 16120e f2e2b8 dfae84 b88828 961c22 24523c",
        "4f86a4 c8d8d0 5f8a8c 46704c 2a4a38 12140f f5ead0 e6ba94 c89a3a b0301a 2a3a78",
    ),
    "Symbolism": (
        "2c4a62 c9a878 3f6a70 3a5a56 24403f 101c2a f2dfae d6b48e d4a24a a05a62 4a6a92",
        "3c3462 d09a8a 564a78 4a4468 2c2a4a 14122a f4dcc0 d8b096 d8a860 a84a70 5a62a8",
        "2a5650 cfc088 406a5c 4a6a48 28463a 0f2420 f2eab8 d4b892 d8b24a 98603a 3f7a80",
    ),
}


def palette(style: str, which: int, hue: float = 0.0, value: float = 1.0) -> Palette:
    """One of the three palettes of a style, hues turned by `hue` (1 is the whole circle), brightness times `value`."""
    return Palette(*(_shift(text, hue, value) for text in _TABLE[style][which % 3].split()))


def _shift(text: str, hue: float, value: float) -> Color:
    r, g, b = (int(text[i : i + 2], 16) / 255 for i in (0, 2, 4))
    h, s, v = colorsys.rgb_to_hsv(r, g, b)
    r, g, b = colorsys.hsv_to_rgb((h + hue) % 1, s, min(1.0, v * value))
    return round(r * 255), round(g * 255), round(b * 255)
