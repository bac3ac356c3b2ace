"""What every test shares: the Hypothesis profile, the mark for Debian packages, the page of `make test-long`."""

import signal

from hypothesis import settings

# A shell without job control starts what is to run in the background with SIGINT ignored, and children inherit that:
# the tests compare with real processes that do not ignore it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
