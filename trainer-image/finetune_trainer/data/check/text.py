"""The report as text for a terminal."""

from collections.abc import Iterator

from finetune_trainer.data.check.report import DataReport, Part, RenderedSample

BAR_WIDTH = 40
SHOWN_LINES = 5


def to_text(report: DataReport) -> str:
    """The whole report. Control characters of the data do not reach the terminal."""
    return "\n".join(_lines(report)) + "\n"


def samples_to_text(report: DataReport) -> str:
    """Only the rendered samples; what the loss counts stands in »…«."""
    return "\n".join(line for sample in report.samples for line in _sample(sample)) + "\n"


def visible(text: str) -> str:
    """The text with control characters written out, so that data cannot steer the terminal."""
    return "".join(sign if sign == "\n" or sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)


def _lines(report: DataReport) -> Iterator[str]:
    yield f"Data of {report.job} ({report.format})"
    for part in (report.train, report.eval):
        if part is not None:
            yield ""
            yield from _part(part)
    yield ""
    if report.steps is not None:
        steps = report.steps
        what = "sequences" if steps.packed_sequences is None else f"packs ({steps.packed_sequences} in all)"
        yield (
            f"steps: {steps.total_steps} in all, {steps.steps_per_epoch} per epoch, of "
            f"{steps.effective_batch_size} {what}; {steps.filled_share:.1%} of the computed tokens are real"
        )
    if report.held_out:
        yield f"held out for evaluation: {report.held_out} sequences"
    if report.eval is not None:
        yield f"evaluation records that are in the training data: {report.overlap}"
    if report.samples:
        yield ""
        yield "Samples as the model sees them; the loss counts what stands in »…«"
        for sample in report.samples:
            yield from _sample(sample)
    if report.remarks:
        yield ""
    for remark in report.remarks:
        yield visible(f"{remark.severity}: {remark.message}. {remark.remedy} ({remark.code})")


def _part(part: Part) -> Iterator[str]:
    yield f"{part.name}: {part.records} records, {part.broken} broken, {part.duplicates} duplicates"
    for file in part.files:
        yield visible(f"  {file.name}: {file.size_bytes} bytes, {file.encoding}")
    if part.columns:
        names = ", ".join(f"{column.name} ({column.records})" for column in part.columns)
        yield visible(f"  columns: {names}")
    for problem in part.first_broken[:SHOWN_LINES]:
        yield visible(f"  broken: {problem.where}: {problem.problem}")
    for duplicate in part.first_duplicates[:SHOWN_LINES]:
        yield visible(f"  duplicate: {duplicate.where} is {duplicate.same_as}")
    for where in part.first_unsupervised[:SHOWN_LINES]:
        yield visible(f"  trains on nothing: {where}")
    if part.drawn:
        yield f"  {part.sequences} prompts, {part.tokens} tokens; the model answers them itself"
    else:
        yield (
            f"  {part.sequences} sequences, {part.tokens} tokens, {part.supervised_share:.1%} supervised; "
            f"{part.ended} end in a supervised end token"
        )
    if part.truncated and part.drawn:
        yield f"  {part.truncated} prompts leave no room for an answer and are left out"
    elif part.truncated:
        yield (
            f"  {part.truncated} records are too long: {part.cut_tokens} tokens are lost, "
            f"{part.cut_supervised_tokens} of them supervised"
        )
    if part.lengths is not None:
        lengths = part.lengths
        yield (
            f"  tokens per record: {lengths.shortest} to {lengths.longest}, median {lengths.median}, mean "
            f"{lengths.mean}, 95 % up to {lengths.p95}"
        )
        most = max(bar.records for bar in lengths.histogram)
        for bar in lengths.histogram:
            drawn = "█" * round(BAR_WIDTH * bar.records / most) or ("▏" if bar.records else "")
            yield f"  {bar.start:>7} {drawn} {bar.records or ''}".rstrip()


def _sample(sample: RenderedSample) -> Iterator[str]:
    yield visible(f"--- {sample.where} ({sample.tokens} tokens)")
    yield "".join(
        f"»{visible(piece.text)}«" if piece.supervised else visible(piece.text) for piece in sample.pieces
    )
