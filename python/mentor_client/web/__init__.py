"""mentor-web: experiments in a browser. Each view is one module of this package, found by its
`view(...)`; `page.py` is what they share, `session.py` who may see it."""
