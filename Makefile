# From a bare clone: `make demo` shows Epsilon at work, `make test` proves it. Both set everything up in .venv first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Debian 12's pip would install hy, which comes as a source archive, by a way that it calls deprecated itself.
export PIP_USE_PEP517 := 1

.PHONY: help demo test conformance sanitize valgrind bench headers lint clean

help:
	@echo "make demo   drive real C libraries from Hy and Python: qsort, SQLite, OpenSSL, libsndfile, libcurl"
	@echo "make test   run all tests, Python's and Hy's (ARGS='-k qsort' passes options to pytest)"
	@echo "make conformance  40,000 signatures each way against the C compiler, under every strategy (ARGS='--seed 1 --count 5000'),"
	@echo "                  and 5,000 random structs' layouts"
	@echo "make sanitize     the tests with the C shim under AddressSanitizer and UBSan; make valgrind: a short run under valgrind"
	@echo "make bench  measure against the hand-written extension, cffi, ctypes and the others"
	@echo "make headers  what is reached of real headers, against the compiler's own word, ctypesgen and libclang"
	@echo "make lint   ruff, and the C shim with every warning an error"
	@echo "make clean  remove what was built, .venv included"
	@echo "PYTHON=python3.13 before the first run chooses another Python than python3"

# A new C source, or a changed one, builds the shim anew; Python and Hy sources are used where they stand.
$(STAMP): pyproject.toml setup.py $(wildcard c/*)
	@$(PYTHON) -I epsilon/prerequisites.py
	@echo "Setting up .venv (a minute or so the first time) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --editable '.[test,lint,numpy]'
	@touch $@

# `hy -m NAME`, for `hy FILE` of Hy 1.3 fails under Python 3.12.1.
demo: $(STAMP)
	@printf '\n=== libc: qsort, with a comparator in Lisp ===\n'
	@PYTHONPATH=examples $(BIN)/hy -m qsort
	@printf '\n=== SQLite: a database, its rows given to a callback in Lisp ===\n'
	@PYTHONPATH=examples $(BIN)/hy -m sqlite
	@printf '\n=== OpenSSL: a digest, and a TLS 1.3 handshake with a local server ===\n'
	@PYTHONPATH=examples $(BIN)/hy -m openssl
	@printf '\n=== libsndfile and NumPy: a tone, written, normalised and read back ===\n'
	@PYTHONPATH=examples $(BIN)/hy -m audio
	@printf '\n=== sqlite3.h, imported: a function and a collation of SQL in Lisp ===\n'
	@PYTHONPATH=examples $(BIN)/hy -m header_sqlite
	@printf '\n=== OpenSSL by its headers: digests, AES-GCM, an X.509 certificate ===\n'
	@PYTHONPATH=examples $(BIN)/hy -m header_openssl
	@printf '\n=== curl/curl.h, imported: a local server is asked, a callback in Lisp is answered ===\n'
	@PYTHONPATH=examples $(BIN)/hy -m header_curl
	@printf '\n=== Native code: a comparator, a picture, and SQL that calls Lisp ===\n'
	@PYTHONPATH=examples $(BIN)/hy -m native_qsort
	@PYTHONPATH=examples $(BIN)/hy -m mandelbrot
	@PYTHONPATH=examples $(BIN)/hy -m sqlite_function
	@printf '\n=== The same from plain Python, through the registry ===\n'
	@$(BIN)/python examples/plain_python.py

# In as many processes as there are cores, up to four: half of the time is the compiler's.
test: $(STAMP)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS)

conformance: $(STAMP)
	@$(BIN)/python tests/conformance.py $(ARGS)
	@$(BIN)/python tests/layout_check.py

# They build a shim of their own, in a folder that they remove.
sanitize: $(STAMP)
	@$(BIN)/python tests/memory_checkers.py sanitize $(ARGS)

valgrind: $(STAMP)
	@$(BIN)/python tests/memory_checkers.py valgrind $(ARGS)

# It installs and builds the peers itself, each apart: one that cannot be had is a row that says so.
bench: $(STAMP)
	@$(BIN)/python benchmarks/run.py $(ARGS)

# It installs the peers, and pyelftools, which reads the compiler's debug information for the truth.
headers: $(STAMP)
	@$(BIN)/python benchmarks/headers.py $(ARGS)

# setup.py knows the shim's flags; the objects go to a folder of their own, as only the warnings are wanted.
lint: $(STAMP)
	$(BIN)/ruff check .
	EPSILON_WERROR=1 $(BIN)/python setup.py --quiet build_ext --force --build-temp build/lint --build-lib build/lint

clean:
	rm -rf .venv build dist *.egg-info epsilon/_shim*.so benchmarks/.build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
