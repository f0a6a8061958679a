"""How many small wrong changes of the code the tests notice: a mutation run, over Python and over the SQL in it.

`python -m benchmarks.mutation --work DIR` takes a seeded sample of mutants, stratified by file, runs for each the tests
that reach the changed place, and lists those that no test noticed. Not part of the test suite.

The operators are our own because half of what decides a number here is SQL in string constants. mutmut replaces a
string as a whole (or changes its case), which every test notices and which says nothing; cosmic-ray has operators for
Python nodes and leaves strings alone; pysqlmut mutates `.sql` files, not texts and f-strings in Python. The rest of
such a tool (which tests reach a line, a warm process, a list of results) is small.

A run of 600 mutants takes one or two hours of two cores, most of it for those that survive: these are asked of every
test that reaches them, up to `--limit-s`. It goes on where it ended. To look at what survived soon, begin with the
quick tests (`--tests tests/domain`), then ask all: what a part noticed is not asked again. Tests written since are
asked by `--again --tests THEIR_FILES`, in a tree whose product is the same.

- `targets.py`: which files, and the sample;
- `operators_python.py`, `operators_sql.py`: what is changed, and what is left alone;
- `references.py`, `reach.py`: which tests reach a place;
- `warm.py`, `worker.py`, `processes.py`, `recording.py`: tests in a forked child of a process that has collected all of
  them and exchanges changed functions in place, or, for what runs at import, of one that has the libraries imported;
- `run.py`: the queue, and in which order tests are asked;
- `results.py`: the lines kept under `--work`, the table and its interval.
"""
