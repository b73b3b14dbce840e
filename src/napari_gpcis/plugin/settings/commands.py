"""Table of commands, for keys, buttons and the documentation.

The keys here are the defaults, free in napari; the user may prefer others, see
:mod:`.shortcuts`.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """Command with its texts and default keys.

    Attributes
    ----------
    name
        Name of the command, see :meth:`.Controller.command`.
    title, help
        Text of the button, and its tooltip.
    anywhere
        Key that works whatever layer is active.
    on_points
        Keys that work while a points layer of ours is active.
    button
        True if it has a button among the main ones; a section may have others.
    held
        True if it lasts as long as the key is held.
    """

    name: str
    title: str
    help: str
    anywhere: str
    on_points: tuple[str, ...]
    button: bool = True
    held: bool = False


CLASS_KEYS = 9
"""So many classes have keys."""

COMMANDS = (
    Command(
        "accept",
        "Accept, next object",
        "The mask is right: keep it and begin the next object.",
        "N",
        ("Enter",),
    ),
    Command(
        "undo",
        "Undo",
        "Take back the last click; without clicks, reopen the last object.",
        "U",
        ("Control-Z",),
    ),
    Command(
        "redo",
        "Redo",
        "Repeat what was taken back.",
        "Shift-U",
        ("Control-Shift-Z",),
    ),
    Command(
        "clear",
        "Clear clicks",
        "Remove all clicks of this object, and with them its mask.",
        "K",
        ("C",),
    ),
    Command(
        "cancel",
        "Cancel",
        "End what goes on: a run through the stack, a choice, a tool, or this object.",
        "",
        ("Escape",),
        button=False,
    ),
    Command(
        "toggle_sign",
        "Switch sign",
        "Switch selected clicks (or the last one) between positive and negative.",
        "Q",
        (),
        button=False,
    ),
    Command(
        "toggle_tidy",
        "Tidy the mask, or not",
        "Remove pieces without a click and small holes of this object, or keep them.",
        "Shift-T",
        (),
        button=False,
    ),
    Command(
        "hover_preview",
        "Preview under the mouse",
        "Show what a click under the mouse would give, or stop showing it.",
        "W",
        (),
        button=False,
    ),
    Command(
        "hide_masks",
        "Hide masks",
        "Hide all masks while the key is held, to see the image alone.",
        "Shift-M",
        ("M",),
        button=False,
        held=True,
    ),
    Command(
        "outlines_only",
        "Outlines only",
        "Show outlines instead of filled masks while the key is held.",
        "Shift-O",
        ("O",),
        button=False,
        held=True,
    ),
    Command(
        "box_tool",
        "Draw boxes",
        "Begin objects by boxes drawn around them, or stop that.",
        "Shift-B",
        (),
        button=False,
    ),
    Command(
        "lasso_tool",
        "Draw lassos",
        "Begin objects by lines drawn along their borders, or stop that.",
        "Shift-L",
        (),
        button=False,
    ),
    Command(
        "scribble_tool",
        "Draw scribbles",
        "Make clicks along lines drawn on objects, or stop that.",
        "Shift-S",
        (),
        button=False,
    ),
    Command(
        "superpixels_tool",
        "Paint with superpixels",
        "Add the superpixels that strokes cross, or take them away with Alt; or stop.",
        "Shift-P",
        (),
        button=False,
    ),
    Command(
        "superpixels_smaller",
        "Smaller superpixels",
        "Show and paint with smaller superpixels, at once.",
        "",
        ("[",),
        button=False,
    ),
    Command(
        "superpixels_larger",
        "Larger superpixels",
        "Show and paint with larger superpixels, at once.",
        "",
        ("]",),
        button=False,
    ),
    Command(
        "snap",
        "Snap to superpixels",
        "Move the border of the mask to superpixels where they agree with it.",
        "Shift-G",
        (),
        button=False,
    ),
    Command(
        "next_object",
        "Next object",
        "Go to the next finished object of the list.",
        "J",
        (),
        button=False,
    ),
    Command(
        "previous_object",
        "Previous object",
        "Go to the finished object of the list before this one.",
        "Shift-J",
        (),
        button=False,
    ),
    Command(
        "next_label",
        "Next label",
        "Go to the object of the next higher label, on this plane if it is here.",
        "Control-J",
        (),
        button=False,
    ),
    Command(
        "previous_label",
        "Previous label",
        "Go to the object of the next lower label, on this plane if it is here.",
        "Control-Shift-J",
        (),
        button=False,
    ),
    Command(
        "split_object",
        "Split an object",
        "Make two objects of one: click on its first part, then on its second.",
        "Shift-X",
        (),
        button=False,
    ),
    Command(
        "merge_objects",
        "Merge objects",
        "Make one object of two that are clicked, or of those selected in the list.",
        "Shift-V",
        (),
        button=False,
    ),
    Command(
        "refine",
        "Correct an object",
        "Correct the chosen object, or the one under the mouse, or the selected one.",
        "Shift-R",
        (),
        button=False,
    ),
    Command(
        "accept_next",
        "Accept, copy to the next plane",
        "Keep the object and begin on the next plane with its mask, to correct it.",
        "Shift-N",
        (),
        button=False,
    ),
    Command(
        "next_click",
        "Go to the next click",
        "Show where a click helps most, and move the view there.",
        "H",
        (),
        button=False,
    ),
    Command(
        "alternative_next",
        "Next alternative mask",
        "Show another mask that the clicks may mean; the next click goes on from it.",
        "Y",
        (),
        button=False,
    ),
    Command(
        "alternative_previous",
        "Previous alternative mask",
        "Go back to the mask before it.",
        "Shift-Y",
        (),
        button=False,
    ),
    Command(
        "alternative_smaller",
        "Smaller alternative mask",
        "Show the next smaller mask that the same clicks may mean.",
        ",",
        (),
        button=False,
    ),
    Command(
        "alternative_larger",
        "Larger alternative mask",
        "Show the next larger mask that the same clicks may mean.",
        ".",
        (),
        button=False,
    ),
    Command(
        "find_similar",
        "Find similar objects",
        "Look for objects like the finished ones of this plane.",
        "Shift-F",
        (),
        button=False,
    ),
    Command(
        "similar_next",
        "Next candidate",
        "Go to the next object that Find similar has found.",
        "",
        ("D",),
        button=False,
    ),
    Command(
        "similar_accept",
        "Accept the candidate",
        "Make the candidate that is looked at an object, and go to the next one.",
        "",
        ("T",),
        button=False,
    ),
    Command(
        "similar_reject",
        "Reject the candidate",
        "It is no such object: learn from it, and go to the next one.",
        "",
        ("R",),
        button=False,
    ),
    Command(
        "similar_accept_all",
        "Accept all candidates shown",
        "Make all candidates in sight objects, as one step of undo.",
        "",
        ("Shift-Enter",),
        button=False,
    ),
    Command(
        "uncertainty",
        "Uncertainty on, off",
        "Show or hide the maps of what the model is unsure about.",
        "Shift-H",
        (),
        button=False,
    ),
    *(
        Command(
            f"class_{number}",
            f"Class {number}",
            f"Give class {number} to the chosen object, or to all from now on.",
            f"Control-{number}",
            (),
            button=False,
        )
        for number in range(1, CLASS_KEYS + 1)
    ),
)

READY_KEY = "G"
"""Key that makes the points layers ready for clicks, from any layer."""
