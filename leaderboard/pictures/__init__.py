"""A leaderboard drawn: a radar or bars, and intervals. Apart because they load matplotlib."""
