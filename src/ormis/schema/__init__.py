"""The declarations of a model class, compiled to a frozen `Schema`."""
