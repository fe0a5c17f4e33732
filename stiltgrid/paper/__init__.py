"""Tables of the paper: plain means and their rendering; statistics are `stiltgrid.analysis`'s."""
