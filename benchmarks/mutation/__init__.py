"""How many small wrong changes of the code the tests notice: a mutation run, over Python and over the SQL in it.

`python -m benchmarks.mutation --work DIR` takes a seeded sample of mutants, stratified by file, runs for each the tests
that reach the changed place, and lists those that no test noticed. Not part of the test suite.

The operators are our own because half of what decides a number here is SQL in string constants. mutmut replaces a
string as a whole (or changes its case), which every test notices and which says nothing; cosmic-ray has operators for
Python nodes and leaves strings alone; pysqlmut mutates `.sql` files, not texts and f-strings in Python. The rest of
such a tool (which tests reach a line, a warm process, a list of results) is small.

- `targets.py`: which files, and the sample;
- `operators_python.py`, `operators_sql.py`: what is changed, and what is left alone;
- `references.py`, `reach.py`: which tests reach a place;
- `recording.py`, `worker.py`, `processes.py`: pytest in a forked child of a process that has the libraries imported;
- `results.py`: the lines kept under `--work`, the table and its interval.
"""
