"""Answers ``python setup.py --version`` (or ``--name``, ``--description``) from package.xml; builds nothing.

The build is CMakeLists.txt: ``colcon build`` on a robot, ``pip install .`` elsewhere (see pyproject.toml).
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

from setuptools import setup

if not all(argument.startswith("--") for argument in sys.argv[1:]):
    sys.exit("setup.py builds nothing. On a robot: colcon build. Elsewhere: pip install . (or: make install).")

package = ElementTree.parse(Path(__file__).with_name("package.xml")).getroot()
setup(version=package.findtext("version"), description=package.findtext("description"), packages=[])
