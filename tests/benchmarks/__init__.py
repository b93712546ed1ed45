"""What we cost, beside what others cost: `./tests/benchmarks/run [names…]`.

Every figure that says something is a ratio of two things measured in turns within one run, so that
a busy machine slows both. No test runs these, and nothing here asserts a time.
"""
