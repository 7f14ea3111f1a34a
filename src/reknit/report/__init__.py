"""The page kit: facts, tables and figures on one self-contained HTML page; knows nothing of networks.

Figures are inline SVG that this folder draws itself, not plotly: plotly.js would add 4.7 MB to every page, follows
neither the page's theme nor a printer, and shows nothing without scripts. What is drawn here (lines, bars, a heat map)
is a few hundred lines, takes its colours from the page's CSS variables and costs tens of kilobytes.
"""
