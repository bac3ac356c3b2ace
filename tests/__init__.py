"""The test-suite of Wavetank: folders by intent, described in README.md."""
