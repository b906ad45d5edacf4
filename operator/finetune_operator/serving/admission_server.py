"""The HTTPS endpoint that the API server asks before it stores a job or a preset: parse, judge, answer."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp import web
from pydantic import ValidationError

from finetune_operator.deciding.admission import (
    AdmissionRequest,
    AdmissionReview,
    PresetsOf,
    Verdict,
    answer,
    judge,
)
from finetune_operator.hardware import Hardware
from finetune_operator.metrics import Metrics
from finetune_operator.serving.listening import Listener

logger = logging.getLogger(__name__)

PATH = "/validate"
MAX_REVIEW_BYTES = 8 * 1024 * 1024
"""A request holds the object twice, and etcd takes objects of 1.5 MiB; escaping makes them longer."""
UNCHECKED = Verdict(
    warnings=(
        "the finetune operator could not check this object now, because of a fault of its own; "
        "an invalid job will be Stalled, and its conditions will say why",
    )
)


class AdmissionServer(Listener):
    """Answers from its own memory: nothing is asked of the cluster while a user waits."""

    def __init__(
        self, metrics: Metrics, presets_of: PresetsOf, hardware: Callable[[], Hardware] = Hardware
    ) -> None:
        """`presets_of` gives the FineTunePresets of a namespace and `hardware` the devices that are there,
        both from memory too."""
        self._metrics = metrics
        self._presets_of = presets_of
        self._hardware = hardware
        app = web.Application(client_max_size=MAX_REVIEW_BYTES)
        app.router.add_post(PATH, self._review)
        super().__init__(app)

    async def _review(self, http: web.Request) -> web.Response:
        try:
            review = AdmissionReview.model_validate_json(await http.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=f"an AdmissionReview of admission.k8s.io/v1: {error}") from error
        verdict = self._judged(review.request)
        return web.json_response(answer(review.request, verdict))

    def _judged(self, request: AdmissionRequest) -> Verdict:
        try:
            verdict = judge(request, self._presets_of, self._hardware())
        except Exception:
            # A fault of ours must not keep a user from working; the reconciler looks at the job again.
            logger.exception("an object could not be checked")
            verdict, outcome = UNCHECKED, "unchecked"
        else:
            outcome = "allowed" if verdict.allowed else "refused"
        self._metrics.admissions.labels(outcome).inc()
        return verdict
