"""Querysets and managers: the sets of objects that users narrow, order, read and write."""
