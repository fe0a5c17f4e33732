"""Models and data sets of the hub: what a grid needs, how it is fetched (`download`, by a network), where it lies."""
