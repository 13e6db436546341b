"""The demonstration: a synthetic head CTA goes through a real node."""
