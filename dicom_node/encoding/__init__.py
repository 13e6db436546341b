"""Encoding: findings become a Segmentation and a Structured Report, checked before they leave."""
