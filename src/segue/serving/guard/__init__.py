"""Who may ask, how much, and for how long.

``keys`` and ``scopes`` say who, ``doorman`` enforces it; ``limits`` and ``gate`` say how much and how long;
``connections`` keeps slow clients from starving others; ``headers`` and ``logs`` are what is told about it.
"""
