"""What several test modules share; holds no tests."""
