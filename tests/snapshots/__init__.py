"""Everything a user reads, compared with the text kept beside the test."""
