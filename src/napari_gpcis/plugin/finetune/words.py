"""What the dock widget "Fine-tune" says about its parts."""

from __future__ import annotations

HELP = (
    "Teach the model your images: label some objects in at least a few images (with "
    "GPCIS, or any labels you have), then train. Ten images with some objects each "
    "are a good start."
)
SOURCE_HELP = "Where the images and their labels come from."
NAME_HELP = "The new model is listed by this name."
MINUTES_HELP = (
    "The longest time for everything. It may end earlier, when more training does not "
    "help."
)
START_HELP = "Train in a process of its own: you can go on working here."
RESUME_HELP = "An unfinished training of this name is here."
STOP_HELP = "End now; the best model so far is saved."
