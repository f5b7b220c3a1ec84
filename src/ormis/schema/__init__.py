"""What a model class declares, compiled to a frozen `Schema`."""
