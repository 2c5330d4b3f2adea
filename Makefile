# make demo    both stages on an embedded data set, end to end
# make demo-folder    from a folder of images to calibrated predictions, as on images of your own
# make test    the tests (make test-all: the slow ones too)
# make lint    format, lint and types
# make notebooks    run them; each must end in what it is stored with (python -m tools.notebooks stores anew)
# make bench   the figures of benchmarks/README.md, on an idle machine
# make readme  the tables and pictures of README.md and docs/, from conf/ and results/
# make docs    the documentation, into build/docs; any warning or broken link ends it (make docs-serve: on port 8000)
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-folder test test-all lint bench readme docs docs-serve notebooks clean

# The stamp is written last, so that an interrupted installation is done again.
.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v < (3, 14) else "lt_calib needs Python 3.10 to 3.13, this is %d.%d: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: .venv/.installed
	$(BIN)/python -m lt_calib.run +experiment=cutmix_awabs dataset=digits_lt dataset.val_per_class=10 posthoc=temperature hydra.run.dir=outputs/demo

demo-folder: .venv/.installed
	$(BIN)/python -m tools.demo_folder

test: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m 'not slow and not notebook'

test-all: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,ray]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: .venv/.installed
	for name in training files grid startup memory accuracy seeds gpu; do $(BIN)/python -m benchmarks.$$name || exit 1; done

readme: .venv/.installed
	$(BIN)/python -m tools.readme README.md

docs: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs

docs-serve: docs
	$(BIN)/python -m http.server --directory build/docs 8000

notebooks: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m notebook

clean:
	rm -rf .venv outputs
