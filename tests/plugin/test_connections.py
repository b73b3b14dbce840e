"""Connections of Qt signals, psygnal signals and napari's events end together."""

import gc
import weakref
from functools import partial
from typing import Any

import psygnal
import pytest
from napari.utils.events import EmitterGroup
from qtpy import API_NAME
from qtpy.QtCore import QObject, Signal

from napari_gpcis.plugin.connections import Connections

pytestmark = pytest.mark.usefixtures("qapp")


class QtSender(QObject):
    news = Signal()


class PsygnalSender:
    news = psygnal.Signal()


class NapariSender:
    def __init__(self) -> None:
        self.events = EmitterGroup(source=self, news=None)

    @property
    def news(self) -> Any:
        return self.events.news


class Plain:
    def __init__(self) -> None:
        self.count = 0

    def on_news(self, *_: Any) -> None:
        self.count += 1


class Receiver(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_news(self, *_: Any) -> None:
        self.count += 1


def emit(sender: Any) -> None:
    sender.news() if isinstance(sender, NapariSender) else sender.news.emit()


senders = pytest.mark.parametrize("kind", [QtSender, PsygnalSender, NapariSender])
receivers = pytest.mark.parametrize("receiving", [Plain, Receiver])


@senders
@receivers
def test_all_end_together_and_can_begin_anew(kind: Any, receiving: Any) -> None:
    first, second, receiver = kind(), kind(), receiving()
    connections = Connections()
    for _ in range(2):
        receiver.count = 0
        for sender in (first, second):
            connections.connect(sender.news, receiver.on_news)
            emit(sender)
        assert receiver.count == 2
        connections.end()
        connections.end()
        emit(first)
        emit(second)
        assert receiver.count == 2


@senders
def test_functions_are_slots_too(kind: Any) -> None:
    sender, receiver, connections = kind(), Plain(), Connections()
    connections.connect(sender.news, partial(Plain.on_news, receiver))
    emit(sender)
    connections.end()
    emit(sender)
    assert receiver.count == 1


def test_a_signal_passed_on_to_a_signal() -> None:
    first, second, receiver = QtSender(), QtSender(), Receiver()
    second.news.connect(receiver.on_news)
    connections = Connections()
    connections.connect(first.news, second.news)
    first.news.emit()
    connections.end()
    first.news.emit()
    assert receiver.count == 1


@senders
@receivers
def test_neither_side_is_kept_alive(kind: Any, receiving: Any) -> None:
    sender, receiver, connections = kind(), receiving(), Connections()
    connections.connect(sender.news, receiver.on_news)
    gone = weakref.ref(sender), weakref.ref(receiver)
    del receiver
    gc.collect()
    assert gone[1]() is None
    emit(sender)
    del sender
    gc.collect()
    assert gone[0]() is None
    connections.end()


@receivers
def test_a_sender_that_qt_has_deleted(receiving: Any) -> None:
    parent, receiver, connections = QObject(), receiving(), Connections()
    sender = QtSender(parent)
    connections.connect(sender.news, receiver.on_news)
    delete_now(parent)
    connections.end()


@senders
def test_a_receiver_that_qt_has_deleted(kind: Any) -> None:
    sender, receiver, connections = kind(), Receiver(), Connections()
    connections.connect(sender.news, receiver.on_news)
    delete_now(receiver)
    connections.end()
    emit(sender)
    assert receiver.count == 0


def delete_now(owner: QObject) -> None:
    """Delete an object as Qt does when its window goes."""
    if API_NAME == "PySide6":
        from shiboken6 import delete
    else:
        from PyQt6.sip import delete
    delete(owner)
