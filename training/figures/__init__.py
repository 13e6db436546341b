"""Pictures of evaluated cases, as the figures 5 and 6 of the paper."""
