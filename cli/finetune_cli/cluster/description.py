"""A job for people: everything in its spec that was chosen, its status, and what has happened."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def describe(job: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of `finetune describe`."""
    metadata, spec, status = job["metadata"], job["spec"], job.get("status", {})
    model = spec.get("model", {})
    yield f"Name:       {metadata['name']}"
    yield f"Namespace:  {metadata.get('namespace', '')}"
    if preset := _preset(job):
        yield f"Preset:     {preset}"
    yield f"Model:      {model.get('id') or model.get('path') or 'from scratch'}"
    yield f"Method:     {spec.get('method', {}).get('type', '')}"
    yield f"Phase:      {status.get('phase', 'not seen by the operator yet')}"
    yield from _mapping("Progress", status.get("progress"))
    yield from _mapping("Metrics", status.get("metrics"))
    yield from _mapping("Effective", status.get("effective"))
    yield from _mapping("Estimate", status.get("estimate"))
    yield from _mapping("Checkpoints", status.get("checkpoints"))
    yield from _mapping("Output", status.get("output"))
    yield from _mapping("Usage", status.get("usage"))
    if conditions := status.get("conditions"):
        yield "Conditions:"
        for condition in conditions:
            yield (
                f"  {condition['type']}={condition['status']}  {condition.get('reason', '')}  "
                f"{condition.get('message', '')}"
            ).rstrip()
    if attempts := status.get("attempts"):
        yield "Attempts:"
        for attempt in attempts:
            facts = [f"{key} {value}" for key, value in attempt.items() if key != "number"]
            yield f"  {attempt['number']}: {', '.join(facts)}"
    yield "Events:" if events else "Events:     none"
    for event in sorted(events, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or ""):
        moment = event.get("lastTimestamp") or event.get("eventTime") or ""
        yield f"  {moment}  {event.get('type', '')}  {event.get('reason', '')}  {event.get('message', '')}"


def _preset(job: Mapping[str, Any]) -> str:
    """Return the preset that the operator has put into the job, or the command line before it was sent."""
    applied = job.get("status", {}).get("preset")
    if applied is not None:
        version = f", version {applied['resourceVersion']}" if "resourceVersion" in applied else ""
        return f"{applied['name']} ({applied['source']}{version})"
    named = job["metadata"].get("annotations", {}).get("finetune.dev/preset") or job["spec"].get("preset")
    return str(named or "")


def _mapping(title: str, values: Mapping[str, Any] | None) -> Iterator[str]:
    if values:
        yield f"{title}:"
        for key, value in values.items():
            shown = (
                ", ".join(f"{name} {inner}" for name, inner in value.items())
                if isinstance(value, Mapping)
                else value
            )
            yield f"  {key}: {shown}"
