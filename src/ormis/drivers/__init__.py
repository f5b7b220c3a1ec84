"""Drivers run operations: they send the calls that an operation yields and send it the replies."""
