/** OpenSeadragon, loaded when a work is opened for the first time. */

import OpenSeadragon from "openseadragon";

window.ARTYLYZE_ZOOM = OpenSeadragon;
