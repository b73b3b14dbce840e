"""What an open widget does when a preference changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_gpcis.plugin.preferences import PREFERENCES

if TYPE_CHECKING:
    from napari_gpcis.plugin.binding import Binding


class Following:
    """Carries changed preferences over to one binding.

    Parameters
    ----------
    binding
        What follows.
    """

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        PREFERENCES.events.device.connect(self._on_device)

    def close(self) -> None:
        """Stop following."""
        PREFERENCES.events.device.disconnect(self._on_device)

    def _on_device(self, *_: Any) -> None:
        self._binding.reload_model()
