"""Progress of a training: bar, message, curves and figures."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QEvent, QPointF, QRectF, QSizeF, Qt, Signal
from qtpy.QtGui import QColor, QFontMetrics, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import (
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


_STEPS = 1000
STAGES = {
    "reading": "Reading the images",
    "before": "Counting the clicks that the start model needs",
    "during": "Counting the clicks that the model needs so far",
    "after": "Counting the clicks that the new model needs",
}

FIGURES_HELP = (
    "How many clicks an object needs: the mean of those until the mask overlaps the "
    "labels by 80, by 85 and by 90 %, on images that are not trained on, counted by a "
    "robot. The model with the fewest is kept. While it trains they may be counted on "
    "some of the objects, in the end on all if there is time."
)
BAR_HELP = "How much of the time you gave has gone; training may end earlier."

LOSS_COLOUR, CLICKS_COLOUR = "#56b4e9", "#e69f00"
BEGUN = "Training has begun ..."
GOES_ON = "Training goes on ..."
WRITING = "Writing the model ..."
CLICKS_TITLE = "Clicks per object"
SOME, ALL = " ({} of {} objects)", " (all {} objects)"
ALL_MARKED = ", all {}"
_MARGIN, _GAP, _ASIDE = 6, 14, 8


class Progress(QWidget):
    """Bar, message, curves and figures of a training, updated by its events.

    Attributes
    ----------
    training
        Whether training has begun: from then on there is a model to keep.
    """

    use_wanted = Signal()
    """Emitted when the user wants to use the new model."""

    def __init__(self) -> None:
        super().__init__()
        self._began = self._minutes = self._earlier = 0.0
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setToolTip(BAR_HELP)
        self.bar.setAccessibleName("Progress of the training")
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        self.curves = Curves()
        self.figures = QLabel()
        self.figures.setWordWrap(True)
        self.figures.setToolTip(FIGURES_HELP)
        self.use = QPushButton("Use this model now")
        self.use.setToolTip("Choose the new model in the GPCIS widget.")
        self.use.clicked.connect(self.use_wanted)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.bar, self.message, self.figures, self.use, self.curves):
            column.addWidget(widget)
        self._spent = 0.0
        self._of_all: dict[str, Any] = {}
        self._few = 0
        self.reset("")
        self.bar.hide()
        self.curves.hide()

    def reset(self, message: str, minutes: float = 0.0) -> None:
        """Clear all, for a new training.

        Parameters
        ----------
        message
            What is said.
        minutes
            The time for everything; 0 as long as nothing has begun.
        """
        self._began, self._minutes, self._earlier = monotonic(), minutes, 0.0
        self.training = False
        self._of_all, self._few = {}, 0
        self.bar.setValue(0)
        self.bar.show()
        self.curves.clear()
        self.curves.show()
        self.figures.setText("")
        self.figures.hide()
        self.use.hide()
        self.message.setText(message)

    def say(self, message: str) -> None:
        """Show a message."""
        self.message.setText(message)

    def end(self, message: str, *, usable: bool = False) -> None:
        """Show the last message, and a button if there is a model to use."""
        self.bar.hide()
        self.use.setVisible(usable)
        self.message.setText(message)

    def take(self, event: dict[str, Any]) -> None:
        """Show an event, and how much of the time has gone."""
        show = getattr(self, f"_show_{event['event']}", None)
        if show is not None:
            show(event)
        if self._minutes:
            gone = self._earlier + self._elapsed
            self.bar.setValue(round(_STEPS * min(gone / self._minutes, 1.0)))

    @property
    def _elapsed(self) -> float:
        """Minutes since the process was started."""
        return (monotonic() - self._began) / 60

    def _show_stage(self, event: dict[str, Any]) -> None:
        stage = STAGES.get(event["stage"], event["stage"])
        self.message.setText(f"{stage}: {event['done']} of {event['total']}")

    def _show_prepared(self, event: dict[str, Any]) -> None:
        self.message.setText(_prepared(event))

    def _show_before(self, event: dict[str, Any]) -> None:
        self.training = True
        self._minutes = event.get("minutes", self._minutes)
        self._spent = event.get("spent", 0.0)
        self._of_all, self._few = event["figures"], event["few"]["objects"]
        self.curves.objects = self._objects(event["few"])
        self.curves.add_clicks(0.0, event["few"]["score"])
        self._show_figures(event["few"])
        self.message.setText(BEGUN)

    def _show_step(self, event: dict[str, Any]) -> None:
        # of a training that goes on, all steps before are told at once
        before = self._spent + event["minutes"] - self._elapsed
        self._earlier = max(self._earlier, before)
        self.curves.add_loss(event["minutes"], event["loss"])
        self.message.setText(
            f"Training: step {event['step']} of at most {event['steps']}, "
            f"{event['minutes']:.1f} minutes"
        )

    def _show_validation(self, event: dict[str, Any]) -> None:
        self.curves.add_clicks(event["minutes"], event["figures"]["score"])
        self.message.setText(GOES_ON)

    def _show_after(self, event: dict[str, Any]) -> None:
        self._show_figures(self._of_all, event["figures"])
        self.message.setText(WRITING)

    def _show_note(self, event: dict[str, Any]) -> None:
        self.message.setText(event["message"])

    def _show_done(self, event: dict[str, Any]) -> None:
        self._show_figures(event["before"], event["after"])

    def _show_figures(
        self, before: dict[str, Any], after: dict[str, Any] | None = None
    ) -> None:
        """Show the clicks per object before, and after when they are known.

        Text and chart have the same, and both are of the same objects.
        """
        marks = {"before": before["score"]}
        text = f"{CLICKS_TITLE}{self._objects(before)}: <b>{before['score']:.2f}</b>"
        text += " before"
        if after is not None:
            marks["after"] = after["score"]
            text += f", <b>{after['score']:.2f}</b> after training"
        others = before["objects"] != self._few  # than those of the curve
        self.curves.mark(marks, ALL_MARKED.format(before["objects"]) if others else "")
        self.figures.setText(text)
        self.figures.show()

    def _objects(self, figures: dict[str, Any]) -> str:
        """Return in words of how many objects figures are."""
        count, every = figures["objects"], self._of_all["objects"]
        return ALL.format(count) if count == every else SOME.format(count, every)


def _prepared(event: dict[str, Any]) -> str:
    """Return a sentence about the training data."""
    text = (
        f"{event['planes']} images with {event['objects']} objects: {event['train']} "
        f"to train on, {event['val']} to validate."
    )
    if event["problems"]:
        text += f" Left out: {len(event['problems'])} ({event['problems'][0]} ...)"
    return text


class Point(NamedTuple):
    """A value at a time."""

    minutes: float
    value: float


class Curves(QWidget):
    """Plot of loss and of clicks per object over the minutes of training.

    Parameters
    ----------
    parent
        Qt parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss: list[Point] = []
        self.clicks: list[Point] = []
        self.marks: dict[str, float] = {}
        self.objects = self.marked = ""
        self._text = QColor("gray")
        self.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.MinimumExpanding
        )
        self.setMinimumSize(160, 160)
        self.setAccessibleName("Curves of loss and clicks per object")
        self.setToolTip(
            "Above: the training error (loss), which jumps about but should fall.\n"
            "Below: clicks per object, as above, counted by a robot on images that are "
            "not trained on. 20: the mask never fits.\n"
            "Dashed: the figures of the text."
        )

    def clear(self) -> None:
        """Forget all points."""
        self.loss.clear()
        self.clicks.clear()
        self.marks.clear()
        self.objects = self.marked = ""
        self.update()

    def add_loss(self, minutes: float, value: float) -> None:
        """Add a point to the upper curve."""
        self.loss.append(Point(minutes, value))
        self.update()

    def add_clicks(self, minutes: float, value: float) -> None:
        """Add a point to the lower curve."""
        self.clicks.append(Point(minutes, value))
        self.update()

    def mark(self, clicks: dict[str, float], objects: str = "") -> None:
        """Draw dashed lines at clicks per object, instead of those there were.

        Parameters
        ----------
        clicks
            The figures of the text, ``"before"`` and ``"after"``.
        objects
            Of how many objects they are, if not of those of the curve; this follows
            the names of the lines.
        """
        self.marks, self.marked = dict(clicks), objects
        self.update()

    def set_text_colour(self, colour: QColor) -> None:
        """Set the colour of numbers and frames, which follows the theme."""
        self._text = colour
        self.update()

    def event(self, event: QEvent) -> bool:
        """Draw when asked to."""
        if event.type() == QEvent.Type.Paint:
            self._draw()
            return True
        return bool(super().event(event))

    def _draw(self) -> None:
        """Draw both curves on one time axis."""
        writer = QPainter(self)
        writer.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = writer.fontMetrics().height()
        height = (self.height() - 2 * (line + _GAP)) / 2
        width = self.width() - 2 * _MARGIN
        longest = max((p.minutes for p in (*self.loss, *self.clicks)), default=1.0)
        top = 0.0
        for title, points, colour in (
            ("Training error (loss)", smoothed(self.loss), LOSS_COLOUR),
            (CLICKS_TITLE + self.objects, self.clicks, CLICKS_COLOUR),
        ):
            frame = QRectF(_MARGIN, top + line + 2, width, height)
            self._draw_title(writer, title, points, QRectF(_MARGIN, top, width, line))
            self._draw_frame(writer, frame)
            marks = self.marks if points is self.clicks else {}
            values = [*(p.value for p in points), *marks.values()]
            room = line + 4 if marks else height / 11  # for the name of a line
            highest = max(values, default=1.0) * height / max(height - room, 1)
            placed = placed_in(frame, points, max(longest, 0.1), highest)
            _draw_curve(writer, placed, colour, dots=points is self.clicks)
            self._draw_marks(writer, frame, marks, highest)
            top += line + height + _GAP
        writer.end()

    def _draw_title(
        self, writer: QPainter, title: str, points: Sequence[Point], box: QRectF
    ) -> None:
        """Draw the title of a curve, and its last value."""
        ended = points is self.clicks and "after" in self.marks  # the text has it
        last = f"{points[-1].value:.2f}" if points and not ended else ""
        title = shortened(title, last, int(box.width()), writer.fontMetrics())
        writer.setPen(self._text)
        writer.drawText(box, Qt.AlignmentFlag.AlignLeft, title)
        writer.drawText(box, Qt.AlignmentFlag.AlignRight, last)

    def _draw_marks(
        self, writer: QPainter, frame: QRectF, marks: dict[str, float], highest: float
    ) -> None:
        """Draw the dashed lines with their names: apart, also where they are near."""
        writer.setPen(QPen(self._text, 1, Qt.PenStyle.DashLine))
        metrics = writer.fontMetrics()
        for name, value in marks.items():
            row = frame.bottom() - frame.height() * value / max(highest, 1e-9)
            writer.drawLine(QPointF(frame.left(), row), QPointF(frame.right(), row))
            words = name + self.marked
            size = QSizeF(metrics.horizontalAdvance(words), metrics.height())
            above = value == max(marks.values())
            box = name_box(frame, row, size, right=name == "after", above=above)
            writer.drawText(box, Qt.AlignmentFlag.AlignCenter, words)

    def _draw_frame(self, writer: QPainter, frame: QRectF) -> None:
        faint = QColor(self._text)
        faint.setAlpha(90)
        writer.setPen(QPen(faint, 1))
        writer.drawLine(frame.bottomLeft(), frame.bottomRight())
        writer.drawLine(frame.bottomLeft(), frame.topLeft())


def shortened(title: str, last: str, width: int, metrics: QFontMetrics) -> str:
    """Return the title of a curve, cut where it would run into its last value.

    Parameters
    ----------
    title, last
        The texts at the left and at the right of one line.
    width
        Pixels of the line.
    metrics
        Sizes of the letters.
    """
    room = width - metrics.horizontalAdvance(f"  {last}")
    return metrics.elidedText(title, Qt.TextElideMode.ElideRight, room)


def name_box(
    frame: QRectF, row: float, size: QSizeF, *, right: bool, above: bool
) -> QRectF:
    """Return where the name of a line is written, inside the frame.

    Parameters
    ----------
    frame
        Where the line is drawn, in pixels.
    row
        Its height.
    size
        Size of the text.
    right
        Whether the name stands at the right end, not at the left.
    above
        Whether it stands above the line, not below, where there is room.
    """
    across = frame.right() - size.width() - _ASIDE if right else frame.left() + _ASIDE
    over, under = row - size.height() - 1, row + 1
    fits = under + size.height() <= frame.bottom()
    return QRectF(QPointF(across, over if above or not fits else under), size)


def smoothed(points: Sequence[Point], weight: float = 0.8) -> list[Point]:
    """Return an exponential mean of values, without the pull of its start."""
    smooth: list[Point] = []
    total = share = 0.0
    for point in points:
        total = weight * total + (1 - weight) * point.value
        share = weight * share + (1 - weight)
        smooth.append(Point(point.minutes, total / share))
    return smooth


def placed_in(
    frame: QRectF, points: Sequence[Point], minutes: float, highest: float
) -> list[QPointF]:
    """Return the places of points in a frame that begins at zero on both axes.

    Parameters
    ----------
    frame
        In pixels; its lower left corner is zero.
    points
        What is placed.
    minutes, highest
        The values at its right and upper border.
    """
    across = frame.width() / max(minutes, 1e-9)
    up = frame.height() / max(highest, 1e-9)
    return [
        QPointF(frame.left() + p.minutes * across, frame.bottom() - p.value * up)
        for p in points
    ]


def _draw_curve(
    writer: QPainter, points: Sequence[QPointF], colour: str, *, dots: bool
) -> None:
    writer.setPen(QPen(QColor(colour), 2))
    if len(points) > 1:
        writer.drawPolyline(QPolygonF(list(points)))
    if dots or len(points) == 1:
        writer.setBrush(QColor(colour))
        for point in points:
            writer.drawEllipse(point, 3.0, 3.0)
