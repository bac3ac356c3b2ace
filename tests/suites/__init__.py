"""Test suites written by others, run as ordinary programs inside the simulator and on the real system, and compared."""
