"""Runs os-ken applications: launch.py [os-ken options] -- MODULE…; MODULE may be a file of this folder."""
import itertools
import logging
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from os_ken import cfg, flags, log  # noqa: E402,F401
from os_ken.base.app_manager import AppManager  # noqa: E402
from os_ken.controller import controller  # noqa: E402,F401

itertools.izip = zip  # one of os-ken's tests still asks for it
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
cfg.CONF(args=sys.argv[1:split], project="os_ken", default_config_files=[])
AppManager.run_apps(sys.argv[split + 1:])
