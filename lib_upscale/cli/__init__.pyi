from lib_upscale.cli.entry import main as main
