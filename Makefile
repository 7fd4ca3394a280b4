# What a newcomer types is `make mount` and `make test`; everything they need is set up on the way.

MNT ?= /mnt/proc
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
# What the main job needs of the system, and what the tests need besides.
SYSTEM = fuse3 libfuse3-dev pkg-config gcc python3-dev python3-venv
TEST_SYSTEM = $(SYSTEM) crun elfutils fish g++ gdb golang-go hostname htop iproute2 jq keyutils less libcap2-bin lsof man-db \
	netcat-openbsd nginx-light nodejs openssh-client openssh-server perl-base procps prometheus-node-exporter \
	prometheus-process-exporter psmisc redis-server ripgrep rsyslog smem strace sysstat systemd uidmap util-linux util-linux-extra \
	bsdextrautils zsh

.PHONY: help mount umount install test soak check bench fuzz views picture clean all

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

mount: install ## mount at MNT (default /mnt/proc) and show a few decoded lines
	@sh examples/first_mount.sh "$(BIN)/procmirror" "$(MNT)"

umount: ## unmount it again
	fusermount3 -u "$(MNT)"

install: $(BIN)/procmirror ## the command in a virtual environment, with the system packages it needs

$(BIN)/procmirror: pyproject.toml
	@sh .ci/packages $(SYSTEM)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/tested: pyproject.toml | $(BIN)/procmirror
	@sh .ci/packages $(TEST_SYSTEM)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[test]"
	@touch $@

test: $(VENV)/tested ## the whole suite (as root: permissions need users and namespaces)
	$(BIN)/python -m pytest

soak: $(VENV)/tested ## the reliability tests in their long forms: a minute of churn, 100,000 opens, 10,000 threads
	PROCMIRROR_SOAK=1 $(BIN)/python -m pytest tests/reliability

check: $(VENV)/tested ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/tested ## speed, as ratios to a C file system and to other decoders
	$(BIN)/python -m tests.benchmarks

fuzz: $(VENV)/tested ## every decoder against bytes that a fuzzer chooses, for a minute
	$(BIN)/pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python -m tests.fuzz

views: $(VENV)/tested ## write docs/VIEWS.md and the manual page from what they describe
	$(BIN)/python -m procmirror.catalogue > docs/VIEWS.md
	$(BIN)/python -m procmirror.manual > docs/procmirror.8

picture: $(VENV)/tested ## run the README's session (as root) and draw it as docs/session.svg
	$(BIN)/python -m tests.picture > docs/session.svg.new
	mv docs/session.svg.new docs/session.svg

clean: ## remove what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

all: check test ## exactly what CI runs
