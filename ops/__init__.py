"""What operators do: dead letters, the fuse, lag, drift. `kuaizhao <subject> …`, or `python -m ops <subject> …`."""
