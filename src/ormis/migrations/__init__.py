"""Migrations: changes of models, brought to the objects that are stored."""
