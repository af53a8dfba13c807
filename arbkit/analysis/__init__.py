"""From integers to answers: frames, intervals, figures and the report. Floats begin in this folder."""
