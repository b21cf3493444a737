"""`make bench`: Epsilon beside a hand-written extension and its peers; README.md holds the method."""
