from lib_upscale.redrawing.tiles.filters import Pixels as Pixels
from lib_upscale.redrawing.tiles.filters import Plane as Plane
from lib_upscale.redrawing.tiles.filters import gaussian as gaussian
from lib_upscale.redrawing.tiles.filters import resize as resize
from lib_upscale.redrawing.tiles.grid import LATENT as LATENT
from lib_upscale.redrawing.tiles.grid import Grid as Grid
from lib_upscale.redrawing.tiles.grid import Tile as Tile
from lib_upscale.redrawing.tiles.grid import plan_grid as plan_grid
