"""Latent diversity: several masks for the same clicks, and a network that chooses.

A context aggregation network proposes M masks from the image, the hypercolumn of a
VGG-19 and the clicks; a second one chooses among them [1]_.

References
----------
.. [1] Li, Chen, Koltun: "Interactive image segmentation with latent diversity",
   CVPR 2018.
"""

from __future__ import annotations
