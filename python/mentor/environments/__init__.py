"""Mentor's environments as Gymnasium's: one, and many at once. `import mentor` registers them as
"mentor/NAME"."""
