"""What the dock widget says about its main parts."""

from __future__ import annotations

from napari_gpcis.plugin.viewer.layers import NEGATIVE_COLOUR, POSITIVE_COLOUR

HELP = (
    f"<b><span style='color:{POSITIVE_COLOUR}'>\u25cf</span> Left click</b> on the "
    "object.<br>"
    f"<b><span style='color:{NEGATIVE_COLOUR}'>\u271a</span> Right click</b> (or "
    "Control-click) outside it.<br>"
    "Zoom in on small objects before the first click: the model looks at what you "
    "see.<br>"
    "Points can be dragged and deleted. Finished objects are never overwritten.<br>"
    "<b>Alt-click</b> on a finished object to correct it. <b>Shift-drag</b> a box to "
    "begin an object."
)
IMAGE_HELP = (
    "The image to annotate. Stacks are annotated plane by plane. Brightness is set "
    "from the image's own values, so the contrast sliders do not change masks."
)
START_HELP = (
    "Start: makes layers for clicks and objects on the image, ready to click.\n"
    "Stop: ends clicking; all masks are kept."
)
STATUS_HELP = (
    "What goes on and what to do next. While you click: how many clicks, the number "
    "of the object, and how long the mask of the last click took."
)
LABELS_HELP = (
    "Where objects are written. An existing layer of the same shape goes on: its "
    "objects are kept and new ones are added."
)
