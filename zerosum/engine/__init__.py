"""The game and what keeps it going: players and their step, the loop, averages, checkpoints, the run folder.

Nothing here knows a recipe, a network, a loss or a data set.
"""
