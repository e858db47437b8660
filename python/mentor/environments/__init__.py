"""Mentor's environments as Gymnasium's: single ones and many at once. `import mentor` registers them
as "mentor/NAME"."""
