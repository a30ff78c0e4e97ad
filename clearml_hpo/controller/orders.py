"""What users order by hand while a study is driven: heard, done, and taken off the controller task.

An order leaves the controller task once its effect is on the server: the trial that tries a point has its name, a trial
that was to end is marked, the study file has the budget. A controller that dies in between leaves the order to the next
one, which sees by the same signs whether it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clearml_hpo.backend.lease import Lease, Requests
from clearml_hpo.backend.orders import NARROWED, End, Extend, How, Order, Try, limits_of
from clearml_hpo.core.budget import Budget
from clearml_hpo.core.notes import Note
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler import Scheduler

ENDS: Mapping[How, TrialState] = {"prune": TrialState.PRUNED, "abort": TrialState.ABORTED}
"""How a trial counts that was ended by hand."""


def reason_of(how: How) -> str:
    """What a trial's task says that was ended by hand."""
    return f"{ENDS[how].value} by order of a user"


class OrderBook:
    """The orders of one study, from hearing them to their end."""

    def __init__(
        self,
        scheduler: Scheduler,
        lease: Lease | None,
        on_note: Callable[[str], None],
        extend: Callable[[Mapping[str, Any]], Budget] | None,
        obeyed: Mapping[str, int],
    ) -> None:
        """Nothing is heard yet.

        Args:
            extend: records other values of keys of ``budget:``, and returns the new budget; None if there is no file.
            obeyed: trials that earlier controllers have made by order, by the order's name.
        """
        self._scheduler = scheduler
        self._lease = lease
        self._note = on_note
        self._extend = extend
        self._obeyed = obeyed
        self._open: dict[str, Order] = {}
        self._closed: dict[str, str] = {}
        self._narrowed = ""

    def hear(self, asked: Requests) -> None:
        """Begins with the orders that are new.

        Raises:
            ApiError: the server did not take a budget; hear them again.
        """
        if asked.narrowed is not None and asked.narrowed != self._narrowed:
            self._narrow(asked.narrowed)
        for name, order in asked.orders.items():
            if name not in self._open and name not in self._closed:
                self._begin(name, order)

    def settle(self) -> None:
        """Takes orders whose effects are on record off the controller task, and says so.

        Raises:
            ApiError: the server did not take it; settle again.
        """
        for name, order in [*self._open.items()]:
            if said := self._done(name, order):
                del self._open[name]
                self._close(name, said)
        if self._lease is not None and (done := [name for name, said in self._closed.items() if said]):
            self._lease.drop_orders(done)
            for name in done:
                self._note(self._closed[name])
                self._closed[name] = ""

    def _begin(self, name: str, order: Order | None) -> None:
        orders = self._scheduler.orders
        if isinstance(order, End):
            trial = self._meant(order)
            if trial is not None:
                orders.end(trial, ENDS[order.how], reason_of(order.how))
            self._open[name] = order
        elif isinstance(order, Try) and name in self._obeyed:
            self._close(name, f"trial {self._obeyed[name]} tries what a user ordered")
        elif isinstance(order, (Try, Extend)) and orders.is_stopped:
            pass  # they stay for whoever goes on with the study
        elif isinstance(order, Try):
            orders.enqueue(order.params, name)
            self._open[name] = order
        elif isinstance(order, Extend) and self._extend is not None:
            self._extend_budget(name, order, self._extend)
        else:
            self._close(name, Note(f"{name} is no order, and is passed over", "warning"))

    def _narrow(self, text: str) -> None:
        """Has points proposed within other limits, which stay on the controller task: it alone says what they are."""
        self._narrowed, orders = text, self._scheduler.orders
        try:
            orders.narrow(limits_of({NARROWED: text}))
        except (ValueError, TypeError) as error:
            self._note(Note(f"{NARROWED} is not possible: {error}", "warning"))
        else:
            self._note(f"proposed by order of a user: {orders.narrowing}")

    def _extend_budget(self, name: str, order: Extend, extend: Callable[[Mapping[str, Any]], Budget]) -> None:
        said = ", ".join(f"{key}: {value}" for key, value in order.budget.items())
        try:
            self._scheduler.orders.extend(extend(order.budget))
        except ValueError as error:
            self._close(name, Note(f"budget {said} is not possible: {error}", "warning"))
            return
        self._close(name, f"budget changed by order of a user: {said}")

    def _done(self, name: str, order: Order) -> str:
        """What came of an order; empty as long as it is not on record."""
        if isinstance(order, Try):
            tries = self._scheduler.orders.trial_of(name)
            return f"trial {tries.number} tries what a user ordered" if tries else ""
        if isinstance(order, End):
            if self._meant(order) is not None:
                return ""
            ended = next(
                (t for t in (*self._scheduler.trials, *self._scheduler.earlier_attempts) if t.task_id == order.task_id),
                None,
            )
            state = ended.state if ended else None
            if state is ENDS[order.how]:
                return f"trial {order.number} {reason_of(order.how)}"
            return (
                f"trial {order.number} was {state.value if state else 'gone'} before a user's order to {order.how} it"
            )
        return ""

    def _meant(self, order: End) -> Trial | None:
        """The trial that is to end; None if it has ended."""
        live = (trial for trial in self._scheduler.trials if trial.task_id == order.task_id)
        return next((trial for trial in live if trial.state.is_live), None)

    def _close(self, name: str, said: str) -> None:
        self._closed[name] = said
