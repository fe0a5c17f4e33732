"""Provenance: from a printed number back to pretrained weights and rows, each link checked."""
