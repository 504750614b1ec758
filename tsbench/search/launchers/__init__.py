"""What starts workers and hands them work."""
