"""Integrations with other libraries; each needs that library, and nothing else of ormis imports it."""
