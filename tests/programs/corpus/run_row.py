"""Check the subject of one module, in the environment that this runs in; prints what came of it as JSON."""

import importlib
import json
import sys
import time

from wavetank.check.api import checked


def main(name: str) -> None:
    started = time.monotonic()
    subject = importlib.import_module(name)
    report, failure = checked(
        subject.factory,
        subject.CONVERSATION,
        observe=getattr(subject, "observe", None),
        dialect=getattr(subject, "dialect", None),
    )
    print(
        json.dumps(
            {
                "runs": report.runs,
                "seconds": round(time.monotonic() - started, 2),
                "processor_seconds": round(time.process_time(), 2),
                "kind": failure.kind if failure else None,
                "what": failure.what if failure else None,
                "where": failure.where if failure else None,
                "why": failure.why if failure else None,
                "text": str(failure) if failure else "",
                "notes": report.notes,
                "tried": report.tried,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
