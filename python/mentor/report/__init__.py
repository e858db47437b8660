"""The report of a run, and the comparison of several.

    python -m mentor.report runs/a              writes runs/a/report.html
    python -m mentor.report runs/a runs/b       writes comparison/comparison.html

Mentor's programs write records into a run folder (records.py says which); whatever is looked at is
made from them here. The page needs no network. statistics.py has the intervals of every report.
Importing this loads nothing large; its libraries are those of
`pip install 'mentor[report]'`.
"""
