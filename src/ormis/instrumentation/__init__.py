"""Observing operations and calls: for spans, metrics and slow queries. Nothing of it runs until observe() is called."""
