"""The published networks: one file each, frames in, features out."""
