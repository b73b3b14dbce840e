"""Latent diversity: several masks for the same clicks, and one of them selected.

The published system [1]_: hypercolumns of VGG-19, distance and click maps, a context
aggregation network that proposes M masks, and a second one that selects among them.

References
----------
.. [1] Li, Chen, Koltun, "Interactive image segmentation with latent diversity", CVPR
   2018.
"""
