"""Measurements that are published, each with its protocol, its machine and its raw samples beside it."""
