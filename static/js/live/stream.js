// Asking for a stream: events as they come, and whatever goes wrong as one kind of error.

const LOST = "The connection was lost.";
const LOST_SECONDS = 1;

/** A sentence for the user; `field` names the value it is about, `again` says when to try again. */
export class StreamError extends Error {
  constructor(sentence, { field = "", again = null } = {}) {
    super(sentence);
    this.field = field;
    this.again = again;
  }
}

async function refusal(answer) {
  const problem = await answer.json().catch(() => ({}));
  const seconds = Number(answer.headers.get("Retry-After")) || LOST_SECONDS;
  return new StreamError(problem.detail ?? LOST, {
    field: problem.field ?? "",
    again: answer.status === 503 ? seconds : null,
  });
}

/** The JSON of each server-sent event in a piece of the stream; comments have none. */
function* parsed(text) {
  for (const block of text.split("\n\n")) {
    const data = block.split("\n").find((line) => line.startsWith("data: "));
    if (data) yield JSON.parse(data.slice("data: ".length));
  }
}

async function ask(address, question, signal) {
  const answer = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify(question),
    signal,
  });
  if (!answer.ok) throw await refusal(answer);
  return answer.body.pipeThrough(new TextDecoderStream()).getReader();
}

/** Yields each event but the last; ends in silence once `signal` is aborted. */
export async function* stream(address, question, signal) {
  try {
    const reader = await ask(address, question, signal);
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new StreamError(LOST, { again: LOST_SECONDS });
      rest += value;
      const end = rest.lastIndexOf("\n\n");
      if (end < 0) continue;
      for (const event of parsed(rest.slice(0, end))) {
        if (signal.aborted || event.event === "done") return;
        if (event.event === "failed") {
          throw new StreamError(event.detail, { field: event.field ?? "", again: event.retry_after });
        }
        yield event;
      }
      rest = rest.slice(end + 2);
    }
  } catch (error) {
    if (signal.aborted) return;
    throw error instanceof StreamError ? error : new StreamError(LOST, { again: LOST_SECONDS });
  }
}
