"""Databases on a cluster: partitions, their keys, the way of calls to nodes, answers put together from partitions."""
