"""Mutation testing of the code that counts money: every operator and number of it changed, one at a time.

`python -m tests.mutation.run` changes a copy with cosmic-ray's operators, runs the tests that belong to the module
and tells which changes no test noticed. `modules.py` says which tests belong where and which changes change nothing.
"""
