"""Where the models are: below the folder given on the command line."""

import os

from modules.shared_cmd_options import cmd_opts

models_path = os.path.join(cmd_opts.data_dir, "models")
script_path = cmd_opts.data_dir
