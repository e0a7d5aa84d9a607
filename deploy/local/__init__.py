"""Kuaizhao on one Linux machine without a container engine: real servers and all services as child processes.

`up` is the command behind `make up`; `stack` is the same thing for tests; `found` gives tests their servers.
"""
