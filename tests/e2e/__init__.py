"""The installed commands, run as a user runs them."""
