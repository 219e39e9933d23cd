# SPDX-License-Identifier: MIT
"""What plot.py draws: style.py is what all pictures share, each other module one kind of report."""
