"""The report as one HTML page that needs nothing else: no script, no request, every value escaped."""

from collections.abc import Iterable
from html import escape

from finetune_trainer.data.check.report import Bar, DataReport, Part, RenderedSample

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d2733; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse } th { text-align: left }
th, td { padding: .15rem 1rem .15rem 0; vertical-align: top }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f6f8; padding: .8rem;
  border-radius: 6px }
mark { background: #bfe8c9; color: inherit } svg { max-width: 100%; height: auto } rect { fill: #3b7dd8 }
.error { color: #a61b1b } .warning { color: #8a5a00 }
@media (prefers-color-scheme: dark) { body { color: #dde3ea; background: #14191f } pre { background: #1d242c }
  mark { background: #1f5a34 } svg text { fill: #dde3ea }
  .error { color: #ff8f8f } .warning { color: #f0c060 } }
"""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
BAR_PIXELS = 32
PLOT_PIXELS = 160


def to_html(report: DataReport) -> str:
    """The page. The data comes from strangers: nothing of it is markup here."""
    parts = [report.train] if report.eval is None else [report.train, report.eval]
    body = [
        f"<h1>Data of {escape(report.job)}</h1>",
        _remarks(report),
        *map(_part, parts),
        _steps(report),
        "<h2>Samples</h2><p>As the model sees them; the loss counts what is <mark>marked</mark>.</p>",
        *map(_sample, report.samples),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Data of {escape(report.job)}</title><style>{STYLE}</style></head>\n"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _remarks(report: DataReport) -> str:
    if not report.remarks:
        return "<p>Nothing to remark.</p>"
    items = (
        f'<li class="{escape(remark.severity)}"><b>{escape(remark.severity)}</b>: {escape(remark.message)}. '
        f"{escape(remark.remedy)} <code>{escape(remark.code)}</code></li>"
        for remark in report.remarks
    )
    return f"<ul>{''.join(items)}</ul>"


def _part(part: Part) -> str:
    rows: list[tuple[str, object]] = [
        *((file.name, f"{file.size_bytes} bytes, {file.encoding}") for file in part.files),
        ("Records", part.records),
        ("Broken", part.broken),
        ("Duplicates", part.duplicates),
        *(_prompts(part) if part.drawn else _sequences(part)),
        ("Columns", ", ".join(f"{column.name} ({column.records})" for column in part.columns)),
    ]
    named = [f"{problem.where}: {problem.problem}" for problem in part.first_broken]
    named += [f"{duplicate.where} is {duplicate.same_as}" for duplicate in part.first_duplicates]
    named += [f"{where} trains on nothing" for where in part.first_unsupervised]
    plot = _plot(part.lengths.histogram) if part.lengths is not None else ""
    listed = f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in named)}</ul>" if named else ""
    return f"<h2>{escape(part.name)}</h2>{_table(rows)}{listed}{plot}"


def _sequences(part: Part) -> list[tuple[str, object]]:
    return [
        ("Sequences", part.sequences),
        ("Tokens", part.tokens),
        ("Supervised", f"{part.supervised_tokens} ({part.supervised_share:.1%})"),
        ("End in a supervised end token", part.ended),
        ("Too long", f"{part.truncated} ({part.cut_tokens} tokens lost)"),
        ("Train on nothing", part.unsupervised),
    ]


def _prompts(part: Part) -> list[tuple[str, object]]:
    return [
        ("Prompts", part.sequences),
        ("Tokens", part.tokens),
        ("Without room for an answer", part.truncated),
    ]


def _steps(report: DataReport) -> str:
    steps = report.steps
    if steps is None:
        return ""
    rows: list[tuple[str, object]] = [
        ("Steps", steps.total_steps),
        ("Steps per epoch", steps.steps_per_epoch),
        ("Sequences per step", steps.effective_batch_size),
        ("Real tokens of those computed", f"{steps.filled_share:.1%}"),
        ("Held out for evaluation", report.held_out),
        ("Evaluation records in the training data", report.overlap),
    ]
    if steps.packed_sequences is not None:
        rows.append(("Packs", steps.packed_sequences))
    return f"<h2>Training</h2>{_table(rows)}"


def _table(rows: Iterable[tuple[str, object]]) -> str:
    cells = (f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows)
    return f"<table>{''.join(cells)}</table>"


def _plot(bars: list[Bar]) -> str:
    most = max(bar.records for bar in bars)
    drawn: list[str] = []
    for number, bar in enumerate(bars):
        height = round(PLOT_PIXELS * bar.records / most)
        left = number * BAR_PIXELS
        drawn.append(
            f'<rect x="{left}" y="{PLOT_PIXELS - height}" width="{BAR_PIXELS - 2}" height="{height}">'
            f"<title>{bar.start} to {bar.end - 1} tokens: {bar.records} records</title></rect>"
            f'<text x="{left}" y="{PLOT_PIXELS + 14}" font-size="9">{bar.start}</text>'
        )
    width, height = len(bars) * BAR_PIXELS, PLOT_PIXELS + 20
    return (
        f'<p>Records by tokens</p><svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Records by tokens">{"".join(drawn)}</svg>'
    )


def _sample(sample: RenderedSample) -> str:
    pieces = (
        f"<mark>{escape(piece.text)}</mark>" if piece.supervised else escape(piece.text)
        for piece in sample.pieces
    )
    return f"<p>{escape(sample.where)} ({sample.tokens} tokens)</p><pre>{''.join(pieces)}</pre>"
