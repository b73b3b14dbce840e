"""Annotate without a window: the widget's model, clicks and objects, no napari, no Qt.

Cells begin with ``# %%``: open the file as a notebook, or run it as a script.
"""

# %%
from pathlib import Path

import numpy as np
from skimage.data import coins

from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.export import Calibration, object_table, write_coco, write_tiff

output = Path("annotated")
output.mkdir(exist_ok=True)

# %% [markdown]
# ## A model and an image

# %%
segmenter = Segmenter.from_pretrained("gpcis-mobilenet-v2", device="cpu")
image = np.asarray(coins())
print(segmenter.info.description)

# %% [markdown]
# ## One object: clicks, a look at the mask, one more click
#
# The view is what the first click is zoomed to: about four times the object.

# %%
session = Session(segmenter, image)
session.view = (50, 20, 140, 110)
prediction = session.add_click(98, 62)
print(f"first click: {prediction.mask.sum()} pixels")
prediction = session.add_click(55, 25, positive=False)
print(f"one beside:  {prediction.mask.sum()} pixels")
session.undo()
first = session.accept()

# %% [markdown]
# ## More objects, from clicks that are known already

# %%
for row, col in [(92, 123), (90, 181)]:
    session.view = (row - 45, col - 45, row + 45, col + 45)
    session.replace_clicks([Click(row, col)])
    session.accept()
print(f"{len(session.objects)} objects")

# %% [markdown]
# ## Where is the model unsure?

# %%
again = segmenter.predict(image, session.objects[0].clicks, view=(50, 20, 140, 110))
print(f"largest variance {again.crop('variance').max():.3g}, in {again.roi}")

# %% [markdown]
# ## Results for other programs, and the clicks for another day

# %%
calibration = Calibration.of(2, (0.1, 0.1), "millimeter")
write_tiff(output / "coins.ome.tif", session.labels, calibration)
write_coco(output / "coins.json", session.labels, "coins.png", category="coin")
for coin in object_table(session.labels, calibration=calibration):
    print(f"coin {coin['id']}: {coin['area_units']:.1f} mm2")
session.save(output / "coins.clicks.json")
reloaded = Session.load(output / "coins.clicks.json", segmenter, image)
print("the same masks:", np.array_equal(reloaded.labels, session.labels))
