"""`python -m wavetank`: the command line, for interpreters whose scripts are not on the PATH."""

from wavetank.cli import main

main()
