"""Figures, for the page and for papers: 7.2 inches wide, 8 points and up, one color per stage everywhere."""
