"""Submissions to a benchmark: a grid's predictions in the leaderboard's layout, and scores of any such folder.

`contents` says what a grid's submissions hold, `export` writes them, `scoring` scores a folder against gold, `forms`
writes and reads the files. docs/submission.md is the guide.
"""
