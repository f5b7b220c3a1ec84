"""Rows of models with `Meta.cache`, kept in the process until the server says that they changed.

The promise: a cached read returns what was stored at some moment in the last `bound` seconds, never less than what this
database object has written and been answered, and never an object past its expiry.

    rows      the rows of one model, in two generations; the room that all models share
    loads     the loads of rows that are under way
    clock     the clock by which rows go out of date
    listener  the thread with the connection by which the server broadcasts the keys that changed
    cache     `db.cache`: the three together, with statistics
"""
