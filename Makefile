# What a newcomer types is `make mount` and `make test`; everything they need is set up on the way.

MNT ?= /mnt/proc
VENV ?= .venv
# The system's, where it is new enough: every user may run that one, but not one below root's home.
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null | grep . || echo python3)
BIN = $(VENV)/bin
# What the main job needs of the system, and what the tests need besides.
SYSTEM = fuse3 libfuse3-dev pkg-config gcc python3-dev python3-venv
TEST_SYSTEM = $(SYSTEM) busybox-static crun elfutils fish g++ gcc-multilib gdb golang-go hostname htop inotify-tools iproute2 jq keyutils less libcap2-bin lsof man-db musl-tools \
	netcat-openbsd nginx-light nodejs openjdk-17-jdk-headless openssh-client openssh-server perl-base php-cli procps prometheus-node-exporter \
	prometheus-process-exporter psmisc redis-server ripgrep rsyslog ruby smem strace sysstat systemd uidmap util-linux util-linux-extra \
	bsdextrautils zsh
# The tests that rest on the packages we depend on.
RESTING = $(patsubst %,tests/test_%.py,catalogue command descriptors lifecycle loop mount_options printing scene trace views) tests/stack
# What a Debian package is made and judged with.
DEB_SYSTEM = $(SYSTEM) debhelper dh-python dpkg-dev lintian python3-pip

# The moment that archives carry: of the last commit, or of the archive that this was unpacked from.
MOMENT = SOURCE_DATE_EPOCH=$(or $(SOURCE_DATE_EPOCH),$(shell test -e .git && git log -1 --format=%ct || stat -c %Y PKG-INFO))

# Set, it makes each process that the tests start compile the source anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help mount umount install quick coverage test attack soak check bench stacks fuzz views site release-check picture dist deb lowest newest python package-test rpm image kernels clean mutants quarter all

help: ## this list
	@awk -F':.*## ' '/^[a-z -]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

mount: install ## mount at MNT (default /mnt/proc) and show a few decoded lines
	@sh examples/first_mount.sh "$(BIN)/procmirror" "$(MNT)"

umount: ## unmount it again
	fusermount3 -u "$(MNT)"

install: $(BIN)/procmirror ## the command in a virtual environment, with the system packages it needs

$(BIN)/procmirror: pyproject.toml
	@sh .ci/packages $(SYSTEM)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[mount]"
	@touch $@

$(VENV)/tested: pyproject.toml | $(BIN)/procmirror
	@sh .ci/packages $(TEST_SYSTEM)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[test]"
	sh .ci/lowest > $(VENV)/lowest.txt
	$(BIN)/pip wheel --quiet --disable-pip-version-check --wheel-dir $(VENV)/lowest --requirement $(VENV)/lowest.txt hatchling
	@touch $@

# Those that load the machine, or promise something while it is loaded, are in two processes, of a folder each. They
# wait half of their time, in which the other processes run what needs neither root nor a mount.
test: $(VENV)/tested ## the whole suite (as root: permissions need users and namespaces)
	@failed=; \
	$(BIN)/python -m pytest -n $(SUITE_PROCESSES) --dist loadfile --no-loadscope-reorder $(TOGETHER) || failed=yes; \
	PROCMIRROR_BESIDE=yes $(BIN)/python -m pytest -n $(SUITE_PROCESSES) --dist loadgroup --no-loadscope-reorder $(BESIDE) || failed=yes; \
	$(BIN)/python -m pytest $(ALONE) || failed=yes; \
	[ -z "$$failed" ]

attack: $(VENV)/tested ## what one user may try against everybody else's mirror, each kind as a program, as root: minutes
	unshare --mount --propagation private $(BIN)/python -m pytest tests/attack

soak: $(VENV)/tested ## the reliability tests in their long forms (a minute of churn, 100,000 opens), ten minutes of random calls
	PROCMIRROR_SOAK=1 $(BIN)/python -m pytest -o faulthandler_timeout=900 tests/reliability tests/attack/test_random_calls.py tests/attack/test_together.py

# Three processes of tests for two CPUs: they wait for other programs a third of their time.
PROCESSES = $$(($$(nproc) * 3 / 2))
# Tests that mount wait longer; three at least, as two do nothing but load the machine.
SUITE_PROCESSES = $$(($$(nproc) < 2 ? 3 : $$(nproc) * 2))
# What needs neither root nor a mount, what does, what loads the machine with the first beside it, and what has the
# machine to itself: this names its folders, which are collected in a fifth of the time that all take.
APART = -m "not mount and not root"
TOGETHER = -m "(mount or root) and not loads"
BESIDE = -m "(loads and not alone) or (not mount and not root)"
ALONE = -m alone tests/attack tests/reliability
# Each property is tried with fewer examples.
QUICK = $(APART) --dist worksteal --hypothesis-profile=quick
# What `make coverage` runs: the same, or as root the whole suite with COVERED= on the command line.
COVERED ?= -n $(PROCESSES) $(QUICK)

quick: $(VENV)/tested ## ruff, mypy and the tests that need neither root nor a mount
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n $(PROCESSES) $(QUICK)

coverage: $(VENV)/tested ## which lines the tests of make quick reach (COVERED= for the whole suite): build/coverage/index.html
	$(BIN)/coverage erase
	@failed=; \
	$(BIN)/coverage run -m pytest -q $(COVERED) || failed=yes; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report --skip-covered --sort=cover && $(BIN)/coverage html --quiet && \
	[ -z "$$failed" ]

check: $(VENV)/tested ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/tested ## speed, as ratios to a C file system and to other decoders
	$(BIN)/python -m tests.benchmarks

stacks: $(VENV)/tested ## how many names, lines and inlined functions equal those of c++filt and addr2line, and complete stacks those of eu-stack: minutes, as root
	$(BIN)/python -m tests.stack.symbols
	$(BIN)/python -m tests.stack.lines
	$(BIN)/python -m tests.stack.inlined
	$(BIN)/python -m tests.stack.states

fuzz: $(VENV)/tested ## every decoder against bytes that a fuzzer chooses, for a minute
	$(BIN)/pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python -m tests.fuzz

views: $(VENV)/tested ## write docs/VIEWS.md, the manual page, the picture in docs/DESIGN.md and the table in docs/API.md from what they describe
	$(BIN)/python -m procmirror.cli.catalogue > docs/VIEWS.md
	$(BIN)/python -m procmirror.cli.manual > docs/procmirror.8
	$(BIN)/python -m tests.house
	$(BIN)/python -m tests.peers

site: $(VENV)/tested ## the documents as a site with a search, in build/site: python3 -m http.server -d build/site
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[site]"
	$(BIN)/mkdocs build --quiet --strict --config-file "$$($(BIN)/python -m tests.website build/pages)" --site-dir "$(CURDIR)/build/site"

picture: $(VENV)/tested ## run the README's session (as root) and draw it as docs/session.svg
	$(BIN)/python -m tests.picture > docs/session.svg.new
	mv docs/session.svg.new docs/session.svg

dist: $(VENV)/tested ## sdist and wheel in dist/, from one commit always the same bytes
	rm -f dist/*.tar.gz dist/*.whl
	$(MOMENT) $(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*.tar.gz dist/*.whl

deb: dist ## a Debian package in dist/, made of the sdist, likewise always the same bytes
	@sh .ci/packages $(DEB_SYSTEM)
	rm -rf build/deb dist/*.deb
	mkdir -p build/deb
	tar -xzf dist/procmirror-*.tar.gz -C build/deb
	cd build/deb/procmirror-* && $(MOMENT) dpkg-buildpackage --build=binary --no-sign
	mv build/deb/*.deb dist
	lintian --allow-root --fail-on=error,warning dist/*.deb

lowest newest: ## the tests that rest on other packages, with the lowest or the newest versions allowed of these
	@sh .ci/packages $(TEST_SYSTEM)
	$(PYTHON) -m venv --clear build/$@
	[ $@ = newest ] || sh .ci/lowest > build/$@/versions
	touch build/$@/versions
	build/$@/bin/pip install --quiet --disable-pip-version-check --constraint build/$@/versions --editable ".[test]"
	build/$@/bin/pip list --disable-pip-version-check | grep -E '^(msgspec|pyfuse3|system.calls|trio) '
	build/$@/bin/python -m pytest $(RESTING)

python: ## the tests on another Python: PYTHON=python3.13; those that mount too, where root runs it
	@sh .ci/packages $(TEST_SYSTEM)
	$(PYTHON) -m venv --clear build/python
	build/python/bin/pip install --quiet --disable-pip-version-check --editable ".[test]"
	build/python/bin/python --version
	build/python/bin/python -m pytest -q $(QUICK)
	[ "$$(id -u)" != 0 ] || build/python/bin/python -m pytest -q $(RESTING) tests/reliability/test_stuck.py

package-test: deb ## both installed for a while, by pip with an index and by apt-get; made again elsewhere: minutes, as root
	$(BIN)/python -m pytest tests/packages.py

rpm: dist ## an RPM in build/rpm, made of the sdist; as root it is put into a folder, and its command runs
	@sh .ci/packages rpm
	rm -rf build/rpm
	rpmbuild -bb examples/rpm/procmirror.spec $(if $(wildcard /etc/debian_version),--nodeps) --define "_sourcedir $(CURDIR)/dist" --define "_topdir $(CURDIR)/build/rpm"
	[ "$$(id -u)" != 0 ] || rpm --root "$(CURDIR)/build/rpm/root" --install --nodeps --noscripts build/rpm/RPMS/*/*.rpm
	[ "$$(id -u)" != 0 ] || PYTHONPATH=build/rpm/root/usr/lib/procmirror /usr/bin/python3 -m procmirror --print self/process.txt

image: ## the image of examples/containers, built and run over this machine's /proc, as root: minutes
	@sh .ci/packages buildah podman crun debootstrap
	sh .ci/image

release-check: ## what a release has to pass, from a clean clone, as root: an hour; SUITE=no leaves out the tests
	sh .ci/release $(if $(filter no,$(SUITE)),--without-suite)

kernels: $(VENV)/tested ## Debian's kernels under QEMU, as root: hours; KERNELS="trixie" for some, PARTS="views" for some parts
	@sh .ci/packages qemu-system-x86 qemu-system-arm crun busybox-static cpio kmod zstd xz-utils elfutils apparmor
	$(BIN)/python -m tests.kernels $(KERNELS) $(if $(PARTS),-- $(PARTS))

clean: ## remove what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

mutants: $(VENV)/tested ## put each fault of a table into a copy of the source and see that a test fails: a quarter of an hour
	$(BIN)/python -m tests.mutants

quarter: $(VENV)/tested ## the same with a quarter of the table, each day another
	$(BIN)/python -m tests.mutants --quarter day -j 2

all: check test quarter ## exactly what CI runs
