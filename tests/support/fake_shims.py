"""A stand-in for `wavetank.kernel.shims` in the tests of the image: installs nothing."""


def install() -> None:
    """Nothing to replace."""
