"""What operators do: dead letters, the fuse, lag, drift, backups. `kuaizhao <subject> …`, or `python -m ops …`."""
