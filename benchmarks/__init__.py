"""ormis beside hand-written redis-py: the same work, on the same server, leaving the same keys.

    python -m benchmarks                        every line
    python -m benchmarks --only get --only save-new
    python -m benchmarks --profile fetch        where the ormis side of one line spends its time
    python -m benchmarks --peers                beside redis-om and RediSearch; `make bench-peers` installs them
    python -m benchmarks.peers                  each operation beside other libraries, as a table and plots

A line times its two sides in turn, in short rounds, and reports the median of the rounds' ratios: what else the machine
does falls on both sides alike. Before a ratio counts, both sides' keys are compared.
"""
