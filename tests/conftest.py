"""What every test shares: the Hypothesis profile, the mark for Debian packages, the page of `make test-long`."""

from hypothesis import settings

# No deadline: a gate that times its tests fails on a busy machine and teaches people to run it again.
settings.register_profile("gate", deadline=None, print_blob=True)
settings.load_profile("gate")

pytest_plugins = [
    "pytester",
    "tests.support.campaigns",
    "tests.support.debian",
    "tests.support.results",
    "tests.support.ssh_pairs",
]
