"""Delivery and the market in one thread, on a database and a log in memory, with every await in other hands."""
