"""The reader study: how radiologists read with and without the results (paper, pages 6 and 9)."""
